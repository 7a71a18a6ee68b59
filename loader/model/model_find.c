/* model_find: finds the files of the model that a path names: a weight file, or a directory, for
 * which its index.json may stand. It guesses nothing: if no rule says which of several models is
 * meant, the user must name one. */
#include "formats/base/plain_path.h"
#include "formats/base/text.h"
#include "loader/model/model_tree.h"
#include <stdio.h>
#include <string.h>

/* ---- a weight file ---- */

/* Adds the set of numbered shards to which a name belongs. *found: there is one of several shards.
 * A safetensors file that a container holds as one file stays one file. */
static lort_code add_numbered(lort_model *model, const char *name, bool *found, lort_error *err)
{
    lort_numbered form;
    lort_folder folder;
    lort_shard_sets sets = {0};
    *found = lort_numbered_parse(name, &form) &&
             !(model->source && lort_name_ends(name, ".safetensors"));
    if (!*found)
        return LORT_OK;
    lort_code code = lort_model_names(model, &folder, err);
    folder.place = model->dir ? lort_os_dir_path(model->dir) : NULL;
    if (code == LORT_OK)
        code = lort_shard_sets_find(&folder, model->alloc, &sets, err);
    if (code)
        return code;
    const uint32_t set = lort_shard_sets_of(&sets, name);
    *found = set != LORT_NO_SET && sets.sets[set].have + sets.sets[set].lack > 1;
    if (*found)
        code = lort_model_add_set(model, &sets, set, err);
    lort_shard_sets_free(&sets);
    return code;
}

/* Adds the model to which the file `name` belongs. *index: it is an index.json, and stands for its
 * directory. */
static lort_code find_by_file(lort_model *model, const char *name, bool *index, lort_error *err)
{
    uint8_t head[LORT_MODEL_HEAD];
    uint64_t n, size;
    bool found;
    *index = false;
    lort_code code = lort_model_read_head(model, name, head, &n, &size, err);
    if (code == LORT_OK)
        code = lort_model_tell_index(model, name, head, n, size, index, err);
    if (code || *index)
        return code;
    code = add_numbered(model, name, &found, err);
    return code || found ? code : lort_model_add_single(model, name, err);
}

static lort_code find_by_index(lort_model *model, const char *name,
                               const lort_model_options *options, lort_error *err)
{
    const lort_model_options named = {
        .weights = name, .all_side_files = options->all_side_files, .index_named = true};
    if (options->weights)
        return lort_fail(err, LORT_E_USAGE, "an index.json is named, so --weights has no place");
    return lort_model_find_tree(model, &named, err);
}

lort_code lort_model_find_source(lort_model *model, const char *name, bool directory,
                                 lort_error *err)
{
    const lort_model_options options = {.weights = name, .index_named = name != NULL};
    bool index;
    char shown[300];
    if (directory && name && !lort_model_index_is_found(lort_path_base(name)))
        return lort_fail(err, LORT_E_INPUT, "%s: LoRT finds no index by this name in a directory",
                         lort_escape_text(shown, sizeof shown, name));
    if (directory)
        return lort_model_find_tree(model, &options, err);
    lort_code code = find_by_file(model, name, &index, err);
    return code || !index ? code : lort_fail(err, LORT_E_INPUT, "an index.json alone is no model");
}

static lort_code find_file(lort_model *model, const char *path, const lort_model_options *options,
                           lort_error *err)
{
    const char *name;
    bool index;
    char shown[300];
    lort_code code = lort_os_dir_of(path, &model->dir, &name, err);
    if (code == LORT_OK)
        code = find_by_file(model, name, &index, err);
    if (code)
        return code;
    if (index)
        return find_by_index(model, name, options, err);
    if (options->weights)
        lort_model_warn(model, "%s: a weight file is named, so --weights changes nothing",
                        lort_escape_text(shown, sizeof shown, name));
    lort_side_note(model, name);
    return LORT_OK;
}

static lort_code refuse_missing(const char *path, lort_error *err)
{
    lort_dir *dir;
    const char *name;
    char shown[300];
    bool dangles = false;
    if (lort_os_dir_of(path, &dir, &name, NULL) == LORT_OK) {
        dangles = lort_os_dangles(dir, name, path, err);
        lort_os_dir_close(dir);
    }
    return dangles ? LORT_E_INPUT
                   : lort_fail(err, LORT_E_INPUT, "%s: no such file or directory",
                               lort_escape_text(shown, sizeof shown, path));
}

lort_code lort_model_find(lort_model *model, const char *path, const lort_model_options *options,
                          lort_error *err)
{
    lort_file_info info;
    bool exists;
    lort_code code = lort_os_stat(path, &info, &exists, err);
    if (code)
        return code;
    if (!exists)
        return refuse_missing(path, err);
    if (info.kind != LORT_FILE_DIRECTORY)
        return find_file(model, path, options, err);
    code = lort_os_dir_open(path, &model->dir, err);
    if (code == LORT_OK)
        code = lort_model_find_tree(model, options, err);
    if (code)
        lort_error_path(err, path);
    return code;
}
