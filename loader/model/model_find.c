/* model_find: finds the files of the model that a path names: a weight file, or a directory, for
 * which its index.json may stand. Of a directory it tells which folders are the model, and whether
 * all folders are here that model_index.json or modules.json names. It guesses nothing: if no rule
 * says which of several models is meant, the user must name one. */
#include "formats/base/plain_path.h"
#include "formats/base/text.h"
#include "formats/inputs/components.h"
#include "loader/model/model_tree.h"
#include <stdio.h>
#include <string.h>

#define COMPONENTS_MOST (8u << 20) /* bytes of a model_index.json or modules.json */

/* ---- directories that are no model ---- */

static bool has_weights(const lort_found_folder *f)
{
    return f->name_class == LORT_NAME_PLAIN && f->counts[LORT_FOUND_INDEX] +
                                                       f->counts[LORT_FOUND_SAFETENSORS] +
                                                       f->counts[LORT_FOUND_GGUF] >
                                                   0;
}

static void name_models(const lort_tree *tree, lort_name_text *names)
{
    for (const lort_found_folder *f = tree->first; f; f = f->next)
        if (has_weights(f) && f->path[0])
            lort_name_text_add(names, f->path, (uint32_t)strlen(f->path));
}

static const lort_found *first_pickle(const lort_found_folder *f)
{
    for (const lort_found *one = f->first; one; one = one->next)
        if (one->name_class == LORT_NAME_COPY && lort_name_is_pickle(lort_path_base(one->path)))
            return one;
    return NULL;
}

static const lort_found *first_copy(const lort_tree *tree)
{
    const lort_found *copy = NULL;
    for (const lort_found_folder *f = tree->first; f; f = f->next) {
        const lort_found *pickle = first_pickle(f);
        if (pickle)
            return pickle;
        for (const lort_found *one = f->first; one && !copy; one = one->next)
            copy = one->name_class == LORT_NAME_COPY ? one : NULL;
    }
    return copy;
}

static lort_code refuse_no_weights(const lort_tree *tree, lort_error *err)
{
    const lort_found *copy = first_copy(tree);
    char shown[300];
    if (!copy)
        return lort_fail(err, LORT_E_INPUT,
                         "the directory holds no .gguf, .safetensors or index.json");
    lort_escape_text(shown, sizeof shown, copy->path);
    if (lort_name_is_pickle(lort_path_base(copy->path)))
        return lort_fail(err, LORT_E_INPUT, "%s is a pickle: convert it to safetensors", shown);
    return lort_fail(err, LORT_E_INPUT,
                     "%s holds weights of another framework: convert them to safetensors", shown);
}

/* A folder of a pipeline whose only weights are a pickle. */
static lort_code refuse_pickle(const lort_tree *tree, const lort_found *pickle, lort_error *err)
{
    lort_name_text names = {0};
    char shown[300];
    name_models(tree, &names);
    return lort_fail(err, LORT_E_INPUT,
                     "the pipeline cannot be taken whole: %s is a pickle: convert it to "
                     "safetensors, or give --side-files all, which stores it as it is; folders "
                     "that hold a model: %s",
                     lort_escape_text(shown, sizeof shown, pickle->path),
                     names.shown ? lort_name_text_end(&names) : "none");
}

/* ---- which folders are the model ---- */

static bool has_file(const lort_found_folder *folder, const char *name)
{
    for (const lort_found *f = folder->first; f; f = f->next)
        if (strcmp(lort_path_base(f->path), name) == 0)
            return true;
    return false;
}

/* Leaves out the weights of a folder that holds another save of the model. */
static void leave_weights(lort_tree *tree, lort_found_folder *folder)
{
    for (lort_found *f = folder->first; f; f = f->next)
        if (f->kind != LORT_FOUND_SIDE && !f->left) {
            f->left = true;
            lort_left_add(tree, LORT_LEFT_FORM, f->path, 1, f->size);
        }
}

/* Without a list of its folders a directory of models is no model. */
static lort_code refuse_folders(const lort_tree *tree, lort_error *err)
{
    lort_name_text names = {0};
    name_models(tree, &names);
    return lort_fail(err, LORT_E_INPUT,
                     "the directory holds no weights of its own, and no model_index.json or "
                     "modules.json that makes its folders one model; name one of its folders "
                     "that hold a model: %s",
                     lort_name_text_end(&names));
}

static lort_code add_weights(lort_tree *tree, lort_error *err)
{
    lort_code code = LORT_OK;
    const bool source = lort_model_is_stored(tree->model),
               listed = has_file(tree->first, "model_index.json") ||
                        has_file(tree->first, "modules.json"),
               own = has_weights(tree->first);
    uint32_t any = own;
    for (const lort_found_folder *f = tree->first->next; f; f = f->next)
        any += has_weights(f);
    if (!any)
        return refuse_no_weights(tree, err);
    if (!own && !listed && !source)
        return refuse_folders(tree, err);
    for (lort_found_folder *f = tree->first; f && code == LORT_OK; f = f->next) {
        const lort_found *pickle = first_pickle(f);
        if (has_weights(f) && !listed && !source && lort_name_in_save(f->path))
            leave_weights(tree, f);
        else if (has_weights(f))
            code = lort_forms_add(tree, f, err);
        else if (listed && !source && pickle && f->name_class == LORT_NAME_PLAIN && f->path[0] &&
                 !tree->options->all_side_files)
            code = refuse_pickle(tree, pickle, err);
    }
    if (code == LORT_OK && tree->options->weights && !tree->chosen)
        code = lort_fail(err, LORT_E_USAGE, "no weights '%.100s' here: there are %s",
                         tree->options->weights, lort_name_text_end(&tree->forms));
    return code;
}

/* ---- components ---- */

/* What the file that names the folders of the model says, against what is here. */
typedef struct components {
    lort_tree *tree;
    const char *file;
    lort_components_form form;
    lort_name_text missing, empty;
    lort_name_text left; /* copies in other frameworks, hidden folders */
    lort_name_text bare; /* a config and no weights */
    char linked[800];    /* the first one that is a link */
} components;

static void see_here(components *c, const lort_found_folder *f, bool bare)
{
    lort_name_text *list = NULL;
    bool copies = false;
    for (const lort_found *one = f->first; one; one = one->next)
        copies |= one->name_class == LORT_NAME_COPY;
    if (f->top && !c->tree->options->all_side_files)
        list = &c->left;
    else if (!f->filled && !bare)
        list = &c->empty;
    else if (c->form == LORT_COMPONENTS_INDEX && has_file(f, "config.json") && !has_weights(f) &&
             !copies)
        list = &c->bare;
    if (list)
        lort_name_text_add(list, f->path, (uint32_t)strlen(f->path));
}

/* Looks for n bytes of a path, which no listed folder has: nothing is there, or a link. Returns
 * true if the search is over. */
static bool see_absent(components *c, const char *path, uint32_t n, bool bare)
{
    char name[LORT_PLAIN_PATH_MAX + 1], target[400], shown[300];
    lort_dir *entered = NULL;
    lort_file_info info;
    bool exists = false;
    snprintf(name, sizeof name, "%.*s", (int)n, path);
    const char *base = lort_path_base(name);
    if (c->tree->model->source) { /* its list has no links */
        if (!bare && !lort_tree_folder(c->tree, name))
            lort_name_text_add(&c->missing, path, (uint32_t)strlen(path));
        return !lort_tree_folder(c->tree, name);
    }
    if (lort_model_enter(c->tree->model, name, lort_path_folder(name), &entered, NULL))
        return true;
    lort_dir *dir = entered ? entered : c->tree->model->dir;
    const bool looked = lort_os_look(dir, base, &info, &exists, NULL) == LORT_OK;
    if (looked && !exists && !bare)
        lort_name_text_add(&c->missing, path, (uint32_t)strlen(path));
    if (looked && exists && info.kind == LORT_FILE_LINK && !c->linked[0] &&
        lort_os_follow(dir, base, &info, &exists, NULL) == LORT_OK && exists &&
        info.kind == LORT_FILE_DIRECTORY) {
        lort_os_link_text(dir, base, target, sizeof target);
        snprintf(c->linked, sizeof c->linked, "%s is a link to the directory %s",
                 lort_escape_text(shown, sizeof shown, name), target);
    }
    lort_os_dir_close(entered);
    return !looked || !exists || c->linked[0];
}

/* A path that is not plain is none of this directory. */
static void see_component(void *ctx, const char *text, bool bare)
{
    components *c = ctx;
    char path[LORT_PLAIN_PATH_MAX + 1];
    size_t n;
    while (strncmp(text, "./", 2) == 0)
        text += 2;
    n = strlen(text);
    while (n && text[n - 1] == '/')
        n--;
    snprintf(path, sizeof path, "%.*s", (int)n, text);
    if (lort_plain_path(path, n, NULL))
        return;
    const lort_found_folder *f = lort_tree_folder(c->tree, path);
    if (f) {
        see_here(c, f, bare);
        return;
    }
    for (size_t at = strcspn(path, "/"); at <= n; at += 1 + strcspn(path + at + 1, "/"))
        if (see_absent(c, path, (uint32_t)at, bare) || at == n)
            return;
}

static lort_code judge(components *c, lort_error *err)
{
    if (c->linked[0])
        return lort_fail(err, LORT_E_INPUT,
                         "%s, which LoRT does not follow, and %s names it as a part of the model; "
                         "replace the link by the directory",
                         c->linked, c->file);
    if (c->missing.shown)
        return lort_fail(err, LORT_E_INPUT,
                         "%s names %s, which %s missing; is the download "
                         "complete?",
                         c->file, lort_name_text_end(&c->missing),
                         c->missing.shown + c->missing.more > 1 ? "are" : "is");
    if (c->empty.shown)
        return lort_fail(err, LORT_E_INPUT,
                         "%s names %s, where no file lies; is the download "
                         "complete?",
                         c->file, lort_name_text_end(&c->empty));
    if (c->left.shown)
        return lort_fail(
            err, LORT_E_INPUT,
            "%s names %s, which LoRT leaves out by its name; --side-files all takes it", c->file,
            lort_name_text_end(&c->left));
    if (c->bare.shown)
        lort_model_hold(c->tree->model,
                        "%s names %s, where a config.json lies and no weights; is the download "
                        "complete?",
                        c->file, lort_name_text_end(&c->bare));
    return LORT_OK;
}

static lort_code check_list(components *c, const lort_found *list, lort_error *err)
{
    lort_model *model = c->tree->model;
    void *data;
    lort_error why = {0};
    if (list->size > COMPONENTS_MOST) {
        lort_model_hold(model, "%s: not read as a list of folders: it has more than %u bytes",
                        c->file, COMPONENTS_MOST);
        return LORT_OK;
    }
    lort_code code = lort_take(model->alloc, list->size, "a list of folders", &data, err);
    if (code)
        return code;
    code = lort_model_read_whole(model, list->path, data, list->size, err);
    if (code == LORT_OK &&
        lort_components_parse(c->form, data, list->size, see_component, c, &why) != LORT_OK)
        lort_model_hold(model, "%s: not read as a list of folders: %s", c->file, why.message);
    else if (code == LORT_OK)
        code = judge(c, err);
    lort_give(model->alloc, data, list->size);
    return code;
}

/* Every folder that model_index.json or modules.json names must be here. */
static lort_code check_components(lort_tree *tree, lort_error *err)
{
    static const char *const lists[] = {
        [LORT_COMPONENTS_INDEX] = "model_index.json", [LORT_COMPONENTS_MODULES] = "modules.json"};
    lort_code code = LORT_OK;
    for (int form = 0; form <= LORT_COMPONENTS_MODULES; form++)
        for (const lort_found *f = tree->first->first; f && code == LORT_OK; f = f->next) {
            components c = {.tree = tree, .file = lists[form], .form = (lort_components_form)form};
            if (strcmp(f->path, lists[form]) == 0 && f->size)
                code = check_list(&c, f, err);
        }
    return code;
}
/* ---- a directory ---- */

static lort_code find_tree(lort_model *model, const lort_model_options *options, lort_error *err)
{
    lort_tree tree = {.model = model, .options = options, .by_path.alloc = model->alloc};
    tree.last = &tree.first;
    model->directory = true;
    lort_code code = lort_tree_list(&tree, err);
    if (code == LORT_OK && !lort_model_is_stored(model))
        code = check_components(&tree, err);
    if (code == LORT_OK)
        code = add_weights(&tree, err);
    if (code == LORT_OK && !lort_model_is_stored(model))
        code = lort_side_add(&tree, err);
    lort_tree_free(&tree);
    return code;
}

/* ---- a weight file ---- */

/* Adds the set of numbered shards to which a name belongs. *found: there is one of several shards.
 * A safetensors file that a container holds as one file stays one file. */
static lort_code add_numbered(lort_model *model, const char *name, bool *found, lort_error *err)
{
    lort_numbered form;
    lort_folder folder;
    lort_shard_sets sets = {0};
    *found = lort_numbered_parse(name, &form) &&
             !(lort_model_is_stored(model) && lort_text_ends(name, ".safetensors"));
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

/* A file says itself which form is meant. */
static lort_code refuse_weights(lort_model *model, const char *name, bool index,
                                const lort_model_options *options, lort_error *err)
{
    char shown[300];
    const char *what = index ? "an index.json" : "a weight file";
    if (!options->weights)
        return LORT_OK;
    lort_escape_text(shown, sizeof shown, name);
    if (!options->weights_elsewhere)
        return lort_fail(err, LORT_E_USAGE,
                         "%s: %s is named, so --weights has no place: leave it out, or name the "
                         "directory",
                         shown, what);
    lort_model_warn(model, "%s: %s is named, so --weights changes nothing here", shown, what);
    return LORT_OK;
}

static lort_code find_by_index(lort_model *model, const char *name,
                               const lort_model_options *options, lort_error *err)
{
    const lort_model_options named = {
        .weights = name, .all_side_files = options->all_side_files, .index_named = true};
    return find_tree(model, &named, err);
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
        return find_tree(model, &options, err);
    lort_code code = find_by_file(model, name, &index, err);
    return code || !index ? code : lort_fail(err, LORT_E_INPUT, "an index.json alone is no model");
}

/* Finds the model that a file of the model's directory stands for. */
static lort_code find_named(lort_model *model, const char *name, const lort_model_options *options,
                            lort_error *err)
{
    bool index;
    lort_code code = find_by_file(model, name, &index, err);
    if (code == LORT_OK)
        code = refuse_weights(model, name, index, options, err);
    if (code)
        return code;
    if (index)
        return find_by_index(model, name, options, err);
    lort_side_note(model, name);
    return LORT_OK;
}

static lort_code find_file(lort_model *model, const char *path, const lort_model_options *options,
                           lort_error *err)
{
    const char *name;
    lort_code code = lort_os_dir_of(path, &model->dir, &name, err);
    return code ? code : find_named(model, name, options, err);
}

lort_code lort_model_find_supplied(lort_model *model, const char *name,
                                   const lort_model_options *options, lort_error *err)
{
    return name ? find_named(model, name, options, err) : find_tree(model, options, err);
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
        code = find_tree(model, options, err);
    if (code)
        lort_error_path(err, path);
    return code;
}
