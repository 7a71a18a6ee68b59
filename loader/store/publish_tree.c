/* publish_tree: the directory form of an output: folders and files below the partial directory.
 *
 *   DIR/.NAME.lort-partial/          p->dir, held
 *       FOLDER/FOLDER/FILE           entered one name at a time, and no link is followed
 *
 * LoRT notes each folder and each file that it makes: in p->files for this run, and in the lock
 * file for the next one (publish_guard.c). A folder that is entered again must be the one that this
 * run made. What a killed run left goes only if every file and folder in it has a note. */
#include "formats/base/plain_path.h"
#include "formats/base/text.h"
#include "loader/store/publish_parts.h"
#include <stdio.h>
#include <string.h>

static bool is_made(const lort_publish_name *made, const lort_file_info *info)
{
    return info->device == made->device && info->inode == made->inode &&
           made->folder == (info->kind == LORT_FILE_DIRECTORY);
}

/* The file or folder of this path that this run made; NULL: none. */
static const lort_publish_name *find_made(const lort_publish *p, const char *path, uint32_t n)
{
    const lort_publish_name *made = p->files;
    while (made && !(strncmp(made->name, path, n) == 0 && !made->name[n]))
        made = made->next;
    return made;
}

static lort_code is_changed(const lort_publish *p, const char *path, uint32_t n, lort_error *err)
{
    char shown[300];
    return lort_fail(err, LORT_E_WRITE,
                     "somebody changed the partial output '%s': '%s' is not from this run; nothing "
                     "was published",
                     p->partial, lort_escape(shown, sizeof shown, path, n));
}

lort_code lort_publish_made(lort_publish *p, const char *path, uint32_t n,
                            const lort_file_info *info, lort_error *err)
{
    void *memory;
    lort_code code = lort_arena_take(&p->arena, sizeof(lort_publish_name) + n + 1, &memory, err);
    if (code)
        return code;
    lort_publish_name *made = memory;
    *made = (lort_publish_name){.next = p->files,
                                .device = info->device,
                                .inode = info->inode,
                                .folder = info->kind == LORT_FILE_DIRECTORY};
    memcpy(made->name, path, n);
    made->name[n] = 0;
    p->files = made;
    return lort_publish_guard_note(p, info, err);
}

/* ---- folders of this run ---- */

/* Readers of the files may enter the directory. */
static uint32_t dir_mode(const lort_publish *p)
{
    return p->options.mode | (p->options.mode & 0444) >> 2 | 0700;
}

/* Opens the directory `name` in dir, and describes it. *same: what was opened has that name. */
static lort_code enter(lort_dir *dir, const char *name, lort_file_info *info, bool *same,
                       lort_dir **out, lort_error *err)
{
    bool exists = false;
    *same = false;
    lort_code code = lort_os_look(dir, name, info, &exists, err);
    if (code || !exists || info->kind != LORT_FILE_DIRECTORY)
        return code;
    code = lort_os_dir_enter(dir, name, out, err);
    return code ? code : lort_os_leads_to_dir(dir, name, *out, same, err);
}

/* Makes a folder, enters it and notes it, before anything is written into it. */
static lort_code make_folder(lort_publish *p, lort_dir *dir, const char *name, const char *path,
                             uint32_t n, lort_dir **out, lort_error *err)
{
    lort_file_info info = {0};
    bool same;
    lort_code code = lort_os_make_dir(dir, name, dir_mode(p), err);
    if (code)
        return code;
    code = enter(dir, name, &info, &same, out, err);
    if (code == LORT_OK && !same)
        return is_changed(p, path, n, err);
    if (code == LORT_OK)
        code = lort_publish_made(p, path, n, &info, err);
    if (code && !find_made(p, path, n)) /* nobody could prove later that LoRT made it */
        lort_os_remove(dir, name, true, NULL);
    return code;
}

static lort_code enter_made(lort_publish *p, lort_dir *dir, const char *name, const char *path,
                            uint32_t n, bool make, lort_dir **out, lort_error *err)
{
    const lort_publish_name *made = find_made(p, path, n);
    lort_file_info info;
    bool same = false;
    if (!made && make)
        return make_folder(p, dir, name, path, n, out, err);
    lort_code code = made ? enter(dir, name, &info, &same, out, err) : LORT_OK;
    return code || (same && is_made(made, &info)) ? code : is_changed(p, path, n, err);
}

lort_code lort_publish_enter(lort_publish *p, const char *path, uint32_t n, bool make,
                             lort_dir **out, lort_error *err)
{
    char name[LORT_PLAIN_NAME_MAX + 1];
    lort_code code = LORT_OK;
    *out = NULL;
    for (uint32_t at = 0, end; at < n && code == LORT_OK; at = end + 1) {
        lort_dir *above = *out;
        for (end = at; end < n && path[end] != '/'; end++)
            ;
        if (end - at >= sizeof name)
            code = lort_fail(err, LORT_E_INTERNAL, "a name in a path has %u bytes", end - at);
        snprintf(name, sizeof name, "%.*s", (int)(end - at), path + at);
        *out = NULL;
        if (code == LORT_OK)
            code = enter_made(p, above ? above : p->dir, name, path, end, make, out, err);
        lort_os_dir_close(above);
    }
    if (code) {
        lort_os_dir_close(*out);
        *out = NULL;
    }
    return code;
}

lort_code lort_publish_make_dir(lort_publish *p, lort_error *err)
{
    lort_file_info info = {0};
    bool same = false;
    lort_code code = lort_os_make_dir(p->parent, p->partial, dir_mode(p), err);
    if (code)
        return code;
    code = enter(p->parent, p->partial, &info, &same, &p->dir, err);
    if (code == LORT_OK && !same)
        code = lort_fail(err, LORT_E_WRITE, "somebody removed or replaced '%s'", p->partial);
    if (code == LORT_OK)
        code = lort_publish_guard_begin(p, &info, err);
    if (code && !same) /* only an empty directory goes */
        lort_os_remove(p->parent, p->partial, true, NULL);
    p->made = same;
    return code;
}

/* ---- the end ---- */

/* Removes one file or folder that this run made. For a file at the top this takes no memory. */
static void remove_made(lort_publish *p, const lort_publish_name *made)
{
    lort_file_info info;
    bool exists;
    lort_dir *folder;
    const char *base = lort_path_base(made->name);
    if (lort_publish_enter(p, made->name, lort_path_folder(made->name), false, &folder, NULL))
        return;
    lort_dir *dir = folder ? folder : p->dir;
    if (lort_os_look(dir, base, &info, &exists, NULL) == LORT_OK && exists && is_made(made, &info))
        lort_os_remove(dir, base, made->folder, NULL);
    lort_os_dir_close(folder);
}

/* The list begins with what was made last: files come before their folders. */
void lort_publish_remove_dir(lort_publish *p)
{
    bool same;
    for (const lort_publish_name *made = p->files; made; made = made->next)
        remove_made(p, made);
    if (lort_os_leads_to_dir(p->parent, p->partial, p->dir, &same, NULL) == LORT_OK && same)
        lort_os_remove(p->parent, p->partial, true, NULL);
    lort_os_dir_close(p->dir);
    p->dir = NULL;
}

typedef struct looking {
    lort_publish *p;
    lort_dir *dir;
    const char *folder; /* its path, n bytes; 0: the partial directory itself */
    uint32_t n;
    uint64_t there; /* names seen so far */
} looking;

static lort_code check_made(void *ctx, const char *name, lort_error *err)
{
    looking *l = ctx;
    lort_file_info info;
    bool exists;
    char path[LORT_PLAIN_PATH_MAX + 1 + LORT_PLAIN_NAME_MAX + 1];
    const int n =
        snprintf(path, sizeof path, "%.*s%s%s", (int)l->n, l->folder, l->n ? "/" : "", name);
    const lort_publish_name *made =
        n > 0 && (size_t)n < sizeof path ? find_made(l->p, path, (uint32_t)n) : NULL;
    l->there++;
    lort_code code = lort_os_look(l->dir, name, &info, &exists, err);
    if (code || (made && exists && is_made(made, &info)))
        return code;
    return is_changed(l->p, path, (uint32_t)strlen(path), err);
}

static lort_code check_folder(looking *l, const lort_publish_name *folder, lort_error *err)
{
    l->folder = folder->name;
    l->n = (uint32_t)strlen(folder->name);
    lort_code code = lort_publish_enter(l->p, folder->name, l->n, false, &l->dir, err);
    if (code)
        return code;
    code = lort_publish_of_output(lort_os_dir_list(l->dir, check_made, l, err), err);
    if (code == LORT_OK)
        code = lort_os_dir_sync(l->dir, err);
    lort_os_dir_close(l->dir);
    return code;
}

lort_code lort_publish_check_dir(lort_publish *p, lort_error *err)
{
    uint64_t made = 0;
    looking l = {.p = p, .dir = p->dir, .folder = ""};
    lort_code code = lort_publish_of_output(lort_os_dir_list(p->dir, check_made, &l, err), err);
    for (const lort_publish_name *one = p->files; one && code == LORT_OK; one = one->next) {
        made++;
        if (one->folder)
            code = check_folder(&l, one, err);
    }
    if (code == LORT_OK && made != l.there)
        code = lort_fail(err, LORT_E_WRITE,
                         "somebody removed files of the partial output '%s' (%llu of %llu are "
                         "left); nothing was published",
                         p->partial, (unsigned long long)l.there, (unsigned long long)made);
    return code;
}

/* ---- what a killed run left ---- */

typedef struct grave {
    lort_publish *p;
    lort_dir *dir;
    unsigned depth;
} grave;

static lort_code refuse_unknown(lort_dir *dir, const char *name, const lort_file_info *info,
                                lort_error *err)
{
    char why[80];
    snprintf(why, sizeof why, "it is %s, and no run of LoRT has noted it", info->kind_text);
    return lort_own_refuse(dir, name, why, err);
}

lort_code lort_publish_check_left(lort_publish *p, lort_dir *dir, const char *name, bool below,
                                  lort_error *err)
{
    lort_file_info info;
    bool exists, noted;
    lort_code code = lort_os_look(dir, name, &info, &exists, err);
    if (code || !exists)
        return code;
    code = lort_own_check(dir, name, &info, err);
    if (code == LORT_OK)
        code = lort_publish_guard_knows(p, &info, info.size == 0, &noted, err);
    /* a file that was made in a noted directory, and not noted yet, is empty */
    return code || noted || (below && info.size == 0) ? code
                                                      : refuse_unknown(dir, name, &info, err);
}

static lort_code count_one(void *count, const char *name, lort_error *err)
{
    (void)name;
    (void)err;
    ++*(uint64_t *)count;
    return LORT_OK;
}

static lort_code check_one(void *ctx, const char *name, lort_error *err);

/* Checks a directory that an earlier run left, and all below it. g->dir: the directory itself.
 * parent: that in which it lies. below: it lies in a noted directory. */
static lort_code check_grave(grave *g, lort_dir *parent, const char *name,
                             const lort_file_info *info, bool below, lort_error *err)
{
    bool noted;
    uint64_t count = 0;
    lort_code code = lort_os_dir_list(g->dir, count_one, &count, err);
    if (code == LORT_OK)
        code = lort_publish_guard_knows(g->p, info, count == 0, &noted, err);
    if (code == LORT_OK && !noted && !(below && count == 0))
        code = refuse_unknown(parent, name, info, err);
    return code ? code : lort_os_dir_list(g->dir, check_one, g, err);
}

static lort_code check_one(void *ctx, const char *name, lort_error *err)
{
    grave *g = ctx, inner = {.p = g->p, .depth = g->depth + 1};
    lort_file_info info;
    bool exists;
    lort_code code = lort_os_look(g->dir, name, &info, &exists, err);
    if (code || !exists)
        return code;
    if (info.kind != LORT_FILE_DIRECTORY)
        return lort_publish_check_left(g->p, g->dir, name, true, err);
    if (inner.depth >= LORT_PLAIN_PATH_DEPTH) /* LoRT makes no folder so deep */
        return refuse_unknown(g->dir, name, &info, err);
    code = lort_os_dir_enter(g->dir, name, &inner.dir, err);
    if (code == LORT_OK)
        code = check_grave(&inner, g->dir, name, &info, true, err);
    lort_os_dir_close(inner.dir);
    return code;
}

static lort_code remove_one(void *ctx, const char *name, lort_error *err)
{
    grave *g = ctx, inner = {.p = g->p, .depth = g->depth + 1};
    lort_file_info info;
    bool exists;
    lort_code code = lort_os_look(g->dir, name, &info, &exists, err);
    if (code || !exists)
        return code;
    if (info.kind == LORT_FILE_DIRECTORY && inner.depth < LORT_PLAIN_PATH_DEPTH) {
        code = lort_os_dir_enter(g->dir, name, &inner.dir, err);
        if (code == LORT_OK)
            code = lort_os_dir_list(inner.dir, remove_one, &inner, err);
        lort_os_dir_close(inner.dir);
    }
    return code ? code : lort_os_remove(g->dir, name, info.kind == LORT_FILE_DIRECTORY, err);
}

lort_code lort_publish_bury_dir(lort_publish *p, const lort_file_info *info, lort_error *err)
{
    grave g = {.p = p};
    lort_code code = lort_os_dir_enter(p->parent, p->partial, &g.dir, err);
    if (code == LORT_OK)
        code = check_grave(&g, p->parent, p->partial, info, false, err);
    if (code == LORT_OK)
        code = lort_os_dir_list(g.dir, remove_one, &g, err);
    lort_os_dir_close(g.dir);
    return code ? code : lort_os_remove(p->parent, p->partial, true, err);
}
