/* source_list: owns the list of files of a directory of a cache. It reads no contents. It goes
 * level by level, and enters no link. */
#include "formats/base/text.h"
#include "loader/source/source_parts.h"
#include <stdio.h>
#include <string.h>

/* As a model's directory may have (loader/model/model_tree.h). */
#define FILES_MOST 200000u
#define FOLDERS_MOST 20000u

bool lort_source_is_partial(const char *name)
{
    static const char *const endings[] = {
        ".mdl", ".msc", ".mv", ".etag", ".downloadInProgress", ".incomplete", "-partial", ".part"};
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (lort_text_ends(name, endings[i]))
            return true;
    return false;
}

typedef struct walk {
    const char *directory, *root;
    const lort_cached_filter *filter;
    lort_cached *cached;
    lort_cached_folder *folder; /* that is being read */
    lort_dir *dir;
    uint32_t room; /* of its names */
} walk;

static lort_code add_folder(walk *w, const char *path, lort_error *err)
{
    void *memory;
    if (w->cached->folders == FOLDERS_MOST)
        return lort_fail(err, LORT_E_INPUT, "more than %u folders", FOLDERS_MOST);
    lort_code code = lort_arena_take(&w->cached->arena, sizeof(lort_cached_folder), &memory, err);
    lort_cached_folder *folder = memory;
    if (code == LORT_OK)
        code = lort_arena_text(&w->cached->arena, path, strlen(path), &folder->path, err);
    if (code)
        return code;
    *w->cached->last = folder;
    w->cached->last = &folder->next;
    w->cached->folders++;
    return LORT_OK;
}

static lort_code grow(walk *w, lort_error *err)
{
    lort_cached_folder *folder = w->folder;
    void *names, *sizes;
    if (folder->count < w->room)
        return LORT_OK;
    w->room = w->room ? 2 * w->room : 16;
    lort_code code = lort_arena_take(&w->cached->arena, w->room * sizeof(char *), &names, err);
    if (code == LORT_OK)
        code = lort_arena_take(&w->cached->arena, w->room * sizeof(uint64_t), &sizes, err);
    if (code)
        return code;
    if (folder->count) {
        memcpy(names, folder->names, folder->count * sizeof(char *));
        memcpy(sizes, folder->sizes, folder->count * sizeof(uint64_t));
    }
    folder->names = names;
    folder->sizes = sizes;
    return LORT_OK;
}

/* The file that a link leads to must lie below the root. */
static lort_code check_inside(const walk *w, const char *path, lort_error *err)
{
    char real[LORT_SOURCE_PLACE_MAX], shown[300], leads[300];
    lort_place place;
    const size_t n = w->root ? strlen(w->root) : 0;
    if (!w->root)
        return LORT_OK;
    lort_place_set(&place, "%s/%s", w->directory, path);
    lort_code code = lort_os_real_path(place.text, real, sizeof real, err);
    if (code || (strncmp(real, w->root, n) == 0 && real[n] == '/'))
        return code;
    return lort_fail(err, LORT_E_INPUT,
                     "%s leads out of its repository, to %s; LoRT does not read it",
                     lort_escape_text(shown, sizeof shown, place.text),
                     lort_escape_text(leads, sizeof leads, real));
}

static lort_code add_file(walk *w, const char *name, uint64_t size, lort_error *err)
{
    if (w->cached->files == FILES_MOST)
        return lort_fail(err, LORT_E_INPUT, "more than %u files", FILES_MOST);
    lort_code code = grow(w, err);
    const char *kept;
    if (code == LORT_OK)
        code = lort_arena_text(&w->cached->arena, name, strlen(name), &kept, err);
    if (code)
        return code;
    w->folder->names[w->folder->count] = kept;
    w->folder->sizes[w->folder->count++] = size;
    w->cached->files++;
    return LORT_OK;
}

/* Only the file that is asked for must be there. */
static bool is_asked(const walk *w, const char *path)
{
    return !w->filter->only || strcmp(w->filter->only, path) == 0;
}

static lort_code add_link(walk *w, const char *name, const char *path, lort_error *err)
{
    lort_file_info info;
    bool exists;
    lort_place place;
    lort_error why = {.code = LORT_OK};
    lort_place_set(&place, "%s/%s", w->directory, path);
    if (lort_os_dangles(w->dir, name, place.text, &why))
        return is_asked(w, path)
                   ? lort_fail(err, LORT_E_INPUT,
                               "%s: the file was removed; download the model again", why.message)
                   : LORT_OK;
    lort_code code = lort_os_follow(w->dir, name, &info, &exists, err);
    if (code || !exists || info.kind != LORT_FILE_REGULAR)
        return code;
    code = check_inside(w, path, is_asked(w, path) ? err : NULL);
    if (code)
        return is_asked(w, path) ? code : LORT_OK;
    return add_file(w, name, info.size, err);
}

static bool is_left(const walk *w, const char *name)
{
    const char *prefix = w->filter->prefix;
    return name[0] == '.' || lort_source_is_partial(name) ||
           (prefix && strncmp(name, prefix, strlen(prefix)) != 0);
}

static lort_code take_name(void *ctx, const char *name, lort_error *err)
{
    walk *w = ctx;
    lort_file_info info;
    bool exists;
    lort_place path;
    if (is_left(w, name))
        return LORT_OK;
    lort_place_set(&path, "%s%s", w->folder->path, name);
    lort_code code = lort_os_look(w->dir, name, &info, &exists, err);
    if (code || !exists || path.cut)
        return code;
    if (info.kind == LORT_FILE_LINK)
        return add_link(w, name, path.text, err);
    if (info.kind == LORT_FILE_REGULAR)
        return add_file(w, name, info.size, err);
    lort_place_set(&path, "%s%s/", w->folder->path, name);
    return info.kind == LORT_FILE_DIRECTORY && strlen(path.text) <= LORT_PLAIN_PATH_MAX &&
                   !w->filter->prefix
               ? add_folder(w, path.text, err)
               : LORT_OK;
}

static lort_code read_folder(walk *w, lort_error *err)
{
    lort_place place;
    lort_place_set(&place, "%s/%s", w->directory, w->folder->path);
    w->room = 0;
    lort_code code = lort_os_dir_open(place.text, &w->dir, err);
    if (code)
        return code;
    code = lort_os_dir_list(w->dir, take_name, w, err);
    lort_os_dir_close(w->dir);
    return code;
}

lort_code lort_cached_list(const char *directory, const char *root,
                           const lort_cached_filter *filter, const lort_alloc *alloc,
                           lort_cached *out, lort_error *err)
{
    *out = (lort_cached){.arena.alloc = alloc};
    out->last = &out->first;
    walk w = {directory, root, filter, out, NULL, NULL, 0};
    lort_code code = check_inside(&w, "", err);
    if (code == LORT_OK)
        code = add_folder(&w, "", err);
    for (w.folder = out->first; code == LORT_OK && w.folder; w.folder = w.folder->next)
        code = read_folder(&w, err);
    return code;
}

void lort_cached_free(lort_cached *cached)
{
    if (cached->arena.alloc)
        lort_arena_free(&cached->arena);
    *cached = (lort_cached){0};
}

bool lort_cached_find(const lort_cached *cached, const char *path, uint64_t *size)
{
    for (const lort_cached_folder *folder = cached->first; folder; folder = folder->next) {
        const size_t n = strlen(folder->path);
        if (strncmp(path, folder->path, n) != 0 || strchr(path + n, '/'))
            continue;
        for (uint32_t i = 0; i < folder->count; i++)
            if (strcmp(folder->names[i], path + n) == 0) {
                *size = folder->sizes[i];
                return true;
            }
    }
    return false;
}
