/* model_tree: the files of a directory and of its folders, level by level.
 *
 * A folder is entered from the model's directory, one name at a time. A link to a directory is not
 * followed: it may lead out of the model, or in a circle. A link to a file is read, since the cache
 * of Hugging Face is made of links. */
#include "loader/model/model_tree.h"
#include "formats/base/plain_path.h"
#include "formats/base/text.h"
#include "loader/store/archive.h"
#include <stdio.h>
#include <string.h>

/* ---- kinds ---- */

static bool is_sure(const uint8_t *head, uint64_t n, uint64_t size, const lort_format **format)
{
    return lort_format_tell(head, n, size, format, NULL) == LORT_OK &&
           (*format)->bid(head, n, size) >= LORT_BID_SURE;
}

/* Decides by the contents first, then by the name. Many binary side files begin with bytes that
 * could be the length of a header. */
static lort_found_kind tell_weights(const char *name, const uint8_t *head, uint64_t n,
                                    uint64_t size)
{
    const lort_format *format = NULL;
    if (is_sure(head, n, size, &format))
        return format == &lort_format_gguf ? LORT_FOUND_GGUF : LORT_FOUND_SAFETENSORS;
    return !lort_model_claims_weights(name) ? LORT_FOUND_SIDE
           : lort_text_ends(name, ".gguf")  ? LORT_FOUND_GGUF
                                            : LORT_FOUND_SAFETENSORS;
}

/* Tells what the file is. An index that the user names is one whatever its name is. */
static lort_code tell_kind(lort_tree *tree, lort_found *found, bool named, const uint8_t *head,
                           uint64_t n, lort_error *err)
{
    const char *name = lort_path_base(found->path);
    bool index = named;
    lort_code code = LORT_OK;
    if (!named && lort_model_claims_index(name))
        code = lort_model_tell_index(tree->model, found->path, head, n, found->size, &index, err);
    found->kind = index ? LORT_FOUND_INDEX : tell_weights(name, head, n, found->size);
    found->lists_shards = found->kind == LORT_FOUND_SIDE && !lort_model_foreign_index(name) &&
                          lort_shards_bid(head, n);
    return code;
}

/* ---- folders ---- */

static lort_code room_for_folder(lort_tree *tree, lort_error *err)
{
    void *memory;
    if (tree->folder_count < tree->folder_room)
        return LORT_OK;
    if (tree->folder_count >= LORT_TREE_FOLDERS_MOST)
        return lort_fail(err, LORT_E_INPUT, "more than %u folders: name the model's own directory",
                         LORT_TREE_FOLDERS_MOST);
    const uint32_t room = tree->folder_room ? 2 * tree->folder_room : 8;
    lort_code code =
        lort_take(tree->model->alloc, room * sizeof *tree->folders, "folders", &memory, err);
    if (code)
        return code;
    if (tree->folder_count)
        memcpy(memory, tree->folders, tree->folder_count * sizeof *tree->folders);
    lort_give(tree->model->alloc, tree->folders, tree->folder_room * sizeof *tree->folders);
    tree->folders = memory;
    tree->folder_room = room;
    return LORT_OK;
}

/* Returns in *out the folder of this path, made if it is new. above: that in which it lies. */
static lort_code add_folder(lort_tree *tree, const char *path, uint32_t bytes,
                            const lort_found_folder *above, lort_found_folder **out,
                            lort_error *err)
{
    const lort_names_slot *slot = lort_names_find(&tree->by_path, path, bytes);
    void *memory;
    bool is_new;
    uint32_t number;
    *out = slot ? tree->folders[slot->value] : NULL;
    if (slot)
        return LORT_OK;
    lort_code code = room_for_folder(tree, err);
    if (code == LORT_OK)
        code = lort_arena_take(&tree->model->arena, sizeof(lort_found_folder), &memory, err);
    if (code)
        return code;
    lort_found_folder *folder = memory;
    *folder = (lort_found_folder){.last = &folder->first};
    code = lort_arena_text(&tree->model->arena, path, bytes, &folder->path, err);
    if (code == LORT_OK)
        code = lort_names_add(&tree->by_path, folder->path, bytes, tree->folder_count, &is_new,
                              &number, err);
    if (code)
        return code;
    folder->name_class = above && above->name_class != LORT_NAME_PLAIN ? above->name_class
                         : bytes ? lort_name_tell(lort_path_base(folder->path), true)
                                 : LORT_NAME_PLAIN;
    if (folder->name_class != LORT_NAME_PLAIN)
        folder->top = above && above->top ? above->top : folder;
    tree->folders[tree->folder_count++] = *tree->last = *out = folder;
    tree->last = &folder->next;
    return LORT_OK;
}

static lort_code add_found(lort_tree *tree, lort_found_folder *folder, const lort_found *found,
                           lort_error *err)
{
    void *memory;
    if (tree->file_count++ >= LORT_TREE_FILES_MOST)
        return lort_fail(err, LORT_E_INPUT, "more than %u files: name the model's own directory",
                         LORT_TREE_FILES_MOST);
    lort_code code = lort_arena_take(&tree->model->arena, sizeof *found, &memory, err);
    if (code)
        return code;
    lort_found *copy = memory;
    *copy = *found;
    copy->next = NULL;
    copy->form = UINT32_MAX;
    code = lort_arena_text(&tree->model->arena, found->path, strlen(found->path), &copy->path, err);
    if (code)
        return code;
    *folder->last = copy;
    folder->last = &copy->next;
    folder->counts[copy->kind]++;
    return LORT_OK;
}

void lort_tree_free(lort_tree *tree)
{
    lort_names_free(&tree->by_path);
    lort_give(tree->model->alloc, tree->folders, tree->folder_room * sizeof *tree->folders);
}

/* ---- one file ---- */

/* Looks into a file whose name does not keep LoRT from it. */
static lort_code look_into(lort_tree *tree, const lort_found_folder *folder, lort_found *found,
                           bool *taken, lort_error *err)
{
    const char *name = lort_path_base(found->path);
    const lort_format *format = NULL;
    uint8_t head[LORT_MODEL_HEAD];
    uint64_t n;
    lort_error why = {0};
    const bool named =
        tree->options->index_named && strcmp(found->path, tree->options->weights) == 0;
    *taken = true;
    found->name_class = named ? LORT_NAME_PLAIN : found->name_class;
    if (folder->name_class != LORT_NAME_PLAIN || found->name_class >= LORT_NAME_HIDDEN)
        return LORT_OK;
    if (lort_model_read_head(tree->model, found->path, head, &n, &found->size, &why)) {
        if (why.code != LORT_E_INPUT || lort_model_claims_weights(name) ||
            lort_model_claims_index(name))
            return lort_fail(err, why.code, "%s", why.message);
        lort_model_hold(tree->model, "left out: %s", why.message);
        tree->model->left_files++;
        tree->model->left_bytes += found->size;
        *taken = false;
        return LORT_OK;
    }
    found->looked = true;
    found->container = n > LORT_FRAME_HEADER && lort_archive_bid(head, n);
    if (found->name_class == LORT_NAME_COPY) {
        if (!is_sure(head, n, found->size, &format))
            return LORT_OK;
        found->name_class = LORT_NAME_PLAIN;
    }
    return tell_kind(tree, found, named, head, n, err);
}

/* Leaves out a file, or a folder, whose name no container may hold. weights: it holds some, which
 * the model would lack. */
static lort_code leave_name(lort_tree *tree, const char *path, bool weights, uint64_t files,
                            uint64_t bytes, lort_error *err)
{
    char fault[200], shown[300];
    lort_name_fault(path, fault, sizeof fault);
    if (weights && !lort_name_in_save(path))
        return lort_fail(err, LORT_E_INPUT,
                         "%s holds weights, and %s, so no container may hold it; rename it",
                         lort_escape_text(shown, sizeof shown, path), fault);
    lort_left_warn(tree, path, bytes, "%s, so no container may hold it; rename it", fault);
    tree->model->left_files += files ? files - 1 : 0;
    return LORT_OK;
}

static lort_code see_file(lort_tree *tree, lort_found_folder *folder, lort_found *found,
                          lort_error *err)
{
    bool taken;
    const char *name = lort_path_base(found->path);
    found->name_class =
        folder->name_class != LORT_NAME_PLAIN ? folder->name_class : lort_name_tell(name, false);
    lort_code code = look_into(tree, folder, found, &taken, err);
    if (code || !taken)
        return code;
    /* weights whose name is not plain get a plain one (model_files.c) */
    if (lort_plain_path(found->path, strlen(found->path), NULL) &&
        (folder->path[0] || found->kind == LORT_FOUND_SIDE))
        return leave_name(tree, found->path, found->kind != LORT_FOUND_SIDE, 1, found->size, err);
    return add_found(tree, folder, found, err);
}

/* ---- a source ---- */

/* Adds the folders of a path, and returns the innermost one. */
static lort_code folders_of(lort_tree *tree, const char *path, lort_found_folder **out,
                            lort_error *err)
{
    lort_code code = LORT_OK;
    *out = tree->first;
    (*out)->filled = true;
    for (const char *at = strchr(path, '/'); at && code == LORT_OK; at = strchr(at + 1, '/')) {
        code = add_folder(tree, path, (uint32_t)(at - path), *out, out, err);
        if (code == LORT_OK)
            (*out)->filled = true;
    }
    return code;
}

/* True if the path leads through a folder that is no part of a model. */
static bool is_none(const char *path)
{
    char name[LORT_PLAIN_NAME_MAX + 1];
    for (const char *end; *path; path = *end ? end + 1 : end) {
        end = path + strcspn(path, "/");
        snprintf(name, sizeof name, "%.*s", (int)(end - path), path);
        if (lort_name_tell(name, true) == LORT_NAME_NEVER)
            return true;
    }
    return false;
}

static lort_code see_source(void *ctx, const char *path, lort_error *err)
{
    lort_tree *tree = ctx;
    lort_found_folder *folder;
    lort_found found = {.path = path};
    const bool supplied = lort_model_supply_of(tree->model) != NULL;
    if (supplied && is_none(path)) {
        (void)tree->model->source->size(tree->model->source->ctx, path, &found.size, NULL);
        lort_left_add(tree, LORT_LEFT_NEVER, path, 1, found.size);
        return LORT_OK;
    }
    if (supplied && lort_name_is_temporary(lort_path_base(path)))
        return LORT_OK;
    lort_code code = folders_of(tree, path, &folder, err);
    if (code == LORT_OK && supplied)
        code = tree->model->source->size(tree->model->source->ctx, path, &found.size, err);
    return code ? code : see_file(tree, folder, &found, err);
}

/* ---- a directory ---- */

typedef struct level {
    lort_tree *tree;
    lort_dir *dir;
    lort_found_folder *folder;
} level;

/* What a folder that is no part of a model holds: *files and *bytes. Follows no link. */
typedef struct measure {
    lort_dir *dir;
    unsigned depth;
    bool weights; /* beside copies and hidden files */
    uint64_t files, bytes;
} measure;

static bool holds_weights(lort_dir *dir, const char *name)
{
    const lort_format *format;
    lort_file *file;
    lort_file_info info;
    uint8_t head[LORT_MODEL_HEAD];
    if (lort_model_claims_weights(name))
        return true;
    if (lort_os_open(dir, name, &file, NULL))
        return false;
    bool is = lort_os_info(file, &info, NULL) == LORT_OK;
    const uint64_t n = is && info.size < sizeof head ? info.size : sizeof head;
    is = is && lort_os_read(file, head, n, 0, NULL) == LORT_OK &&
         is_sure(head, n, info.size, &format);
    lort_os_close(file, NULL);
    return is;
}

static lort_code measure_one(void *ctx, const char *name, lort_error *err)
{
    measure *m = ctx, inner = {.depth = m->depth + 1};
    lort_file_info info;
    bool exists;
    if (lort_os_look(m->dir, name, &info, &exists, err) || !exists)
        return LORT_OK;
    m->files += info.kind != LORT_FILE_DIRECTORY;
    m->bytes += info.kind == LORT_FILE_REGULAR ? info.size : 0;
    const bool plain = lort_name_tell(name, info.kind == LORT_FILE_DIRECTORY) == LORT_NAME_PLAIN;
    if (plain && !m->weights && info.kind != LORT_FILE_DIRECTORY)
        m->weights = holds_weights(m->dir, name);
    if (info.kind != LORT_FILE_DIRECTORY || inner.depth > LORT_PLAIN_PATH_DEPTH ||
        lort_os_dir_down(m->dir, name, &inner.dir, err))
        return LORT_OK;
    lort_os_dir_list(inner.dir, measure_one, &inner, err);
    lort_os_dir_close(inner.dir);
    m->weights |= plain && inner.weights;
    m->files += inner.files;
    m->bytes += inner.bytes;
    return LORT_OK;
}

static measure measure_name(lort_dir *dir, const char *name)
{
    measure m = {.dir = dir};
    measure_one(&m, name, NULL);
    return m;
}

static lort_code see_folder(const level *l, const char *name, const char *path, lort_error *err)
{
    lort_tree *tree = l->tree;
    lort_file_info info;
    bool exists;
    lort_found_folder *folder;
    char shown[300];
    lort_code code = lort_os_look(l->dir, name, &info, &exists, err);
    if (code || !exists)
        return code;
    if (info.kind == LORT_FILE_LINK) {
        lort_left_warn(tree, path, 0, "a link to a directory, which LoRT does not follow");
        return LORT_OK;
    }
    if (lort_model_claims_weights(name) || lort_model_claims_index(name))
        return lort_fail(err, LORT_E_INPUT, "%s is a directory, but its name is that of a file",
                         lort_escape_text(shown, sizeof shown, path));
    if (lort_plain_path(path, strlen(path), NULL) == LORT_OK &&
        lort_name_depth(path) < LORT_PLAIN_PATH_DEPTH)
        return add_folder(tree, path, (uint32_t)strlen(path), l->folder, &folder, err);
    const measure m = measure_name(l->dir, name);
    return leave_name(tree, path, m.weights && l->folder->name_class == LORT_NAME_PLAIN, m.files,
                      m.bytes, err);
}

static bool is_never(const level *l, const char *name, const char *path)
{
    if (lort_name_is_temporary(name))
        return true;
    if (lort_name_tell(name, true) != LORT_NAME_NEVER)
        return false;
    const measure m = measure_name(l->dir, name);
    lort_left_add(l->tree, LORT_LEFT_NEVER, path, m.files, m.bytes);
    return true;
}

static lort_code see_name(void *ctx, const char *name, lort_error *err)
{
    const level *l = ctx;
    lort_file_info info;
    bool exists;
    char path[LORT_PLAIN_PATH_MAX + LORT_PLAIN_NAME_MAX + 2], shown[300];
    snprintf(path, sizeof path, "%s%s%s", l->folder->path, l->folder->path[0] ? "/" : "", name);
    l->folder->filled = true;
    if (is_never(l, name, path))
        return LORT_OK;
    lort_code code = lort_os_follow(l->dir, name, &info, &exists, err);
    if (code)
        return code;
    const bool plain =
        l->folder->name_class == LORT_NAME_PLAIN && lort_name_tell(name, false) == LORT_NAME_PLAIN;
    if (!exists && (plain || l->tree->options->all_side_files)) {
        lort_file *file = NULL;
        if (lort_os_dangles(l->dir, name, path, err))
            return LORT_E_INPUT;
        /* a link in a circle: the system says so */
        code = lort_os_open(l->dir, name, &file, err);
        lort_os_close(file, NULL);
        return code ? code
                    : lort_fail(err, LORT_E_READ,
                                "%s: the file went away while LoRT read the directory",
                                lort_escape_text(shown, sizeof shown, path));
    }
    if (exists && info.kind == LORT_FILE_DIRECTORY)
        return see_folder(l, name, path, err);
    if (exists && info.kind == LORT_FILE_OTHER && !lort_model_claims_weights(name) &&
        !lort_model_claims_index(name)) {
        lort_left_warn(l->tree, path, 0, "%s", info.kind_text);
        return LORT_OK;
    }
    lort_found found = {.path = path, .size = info.size};
    return see_file(l->tree, l->folder, &found, err);
}

/* Lists a folder, which adds the folders in it behind it. */
static lort_code list_folder(lort_tree *tree, lort_found_folder *folder, lort_error *err)
{
    lort_dir *entered;
    lort_code code =
        lort_model_enter(tree->model, folder->path, (uint32_t)strlen(folder->path), &entered, err);
    if (code)
        return code;
    level l = {tree, entered ? entered : tree->model->dir, folder};
    code = lort_os_dir_list(l.dir, see_name, &l, err);
    lort_os_dir_close(entered);
    return code;
}

/* ---- directories that are no model ---- */

lort_found_folder *lort_tree_folder(const lort_tree *tree, const char *path)
{
    const lort_names_slot *slot = lort_names_find(&tree->by_path, path, (uint32_t)strlen(path));
    return slot ? tree->folders[slot->value] : NULL;
}

typedef struct cache_names {
    lort_name_text text;
    const char *above;
} cache_names;

static lort_code name_snapshot(void *ctx, const char *name, lort_error *err)
{
    cache_names *names = ctx;
    char path[600];
    const int n = snprintf(path, sizeof path, "%s%s", names->above, name);
    (void)err;
    lort_name_text_add(&names->text, path, n < (int)sizeof path ? (uint32_t)n : sizeof path - 1);
    return LORT_OK;
}

/* Names the snapshots of one repository of the cache. above: its path, with a '/' behind it. */
static lort_code name_snapshots(lort_tree *tree, const char *above, cache_names *names,
                                lort_error *err)
{
    char path[600], prefix[600];
    lort_dir *dir;
    snprintf(path, sizeof path, "%ssnapshots", above);
    snprintf(prefix, sizeof prefix, "%ssnapshots/", above);
    names->above = prefix;
    lort_code code = lort_model_enter(tree->model, path, (uint32_t)strlen(path), &dir, err);
    if (code == LORT_OK)
        code = lort_os_dir_list(dir, name_snapshot, names, err);
    lort_os_dir_close(dir);
    return code;
}

/* Refuses the root of a Hugging Face cache, or of one repository in it. The root has been listed.
 */
static lort_code refuse_cache(lort_tree *tree, lort_error *err)
{
    cache_names names = {0};
    char above[300];
    lort_code code = LORT_OK;
    bool any = lort_tree_folder(tree, "snapshots") &&
               (lort_tree_folder(tree, "blobs") || lort_tree_folder(tree, "refs"));
    if (any)
        code = name_snapshots(tree, "", &names, err);
    for (const lort_found_folder *f = tree->first->next; f && !code && !any; f = f->next) {
        if (strncmp(f->path, "models--", 8) != 0)
            continue;
        snprintf(above, sizeof above, "%s/", f->path);
        if (name_snapshots(tree, above, &names, NULL) == LORT_OK)
            any = names.text.shown > 0;
    }
    if (code || !any)
        return code;
    return lort_fail(err, LORT_E_INPUT, "the root of a Hugging Face cache: name one of %s",
                     lort_name_text_end(&names.text));
}

/* ---- the whole ---- */

lort_code lort_tree_list(lort_tree *tree, lort_error *err)
{
    lort_found_folder *root;
    const lort_model_source *source = tree->model->source;
    lort_code code = add_folder(tree, "", 0, NULL, &root, err);
    if (code == LORT_OK && source)
        return source->list(source->ctx, see_source, tree, err);
    for (lort_found_folder *f = tree->first; f && code == LORT_OK; f = f->next) {
        code = list_folder(tree, f, err);
        if (code == LORT_OK && f == root)
            code = refuse_cache(tree, err);
    }
    return code;
}
