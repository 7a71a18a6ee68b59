/* publish_take: names, locks and refusals: how a writer gets its partial output.
 *
 *   file:       DIR/.NAME.lort-partial            locked while written, renamed to DIR/NAME
 *   resumable:  DIR/NAME.part                     the same; a later writer resumes it
 *   directory:  DIR/.NAME.lort-partial/FILE ...   renamed to DIR/NAME
 *               DIR/.NAME.lort-lock               locked meanwhile; removed after the rename
 *
 * A partial output that nobody locks belongs to a dead writer. A writer that gets the lock removes
 * the partial output, or resumes it. After it gets a lock, a writer checks that the name still
 * leads to the file it locked. So if two writers come at once, exactly one goes on. */
#include "formats/base/text.h"
#include "loader/store/publish_parts.h"
#include <stdio.h>
#include <string.h>

#define TRIES 100 /* attempts to take the name, while other writers come and go */

/* ---- names ---- */

static lort_code join_name(lort_publish *p, const char *before, const char *name, const char *after,
                           const char **out, lort_error *err)
{
    void *text;
    size_t n = strlen(before) + strlen(name) + strlen(after) + 1;
    lort_code code = lort_arena_take(&p->arena, n, &text, err);
    if (code == LORT_OK)
        snprintf(text, n, "%s%s%s", before, name, after);
    *out = text;
    return code;
}

/* A fault in the place of the output is a write error. LoRT reports it before any work. */
static lort_code cannot_begin(lort_code code, const char *path, lort_error *err)
{
    char shown[600];
    if (code != LORT_E_INPUT && code != LORT_E_READ)
        return code;
    lort_error_prefix(err, "output '%s'", lort_escape_text(shown, sizeof shown, path));
    if (err)
        err->code = LORT_E_WRITE;
    return LORT_E_WRITE;
}

/* "new/" means the directory "new". */
static lort_code without_slashes(lort_publish *p, const char **path, lort_error *err)
{
    size_t n = strlen(*path);
    while (p->options.directory && n > 1 && (*path)[n - 1] == '/')
        n--;
    return lort_arena_text(&p->arena, *path, n, path, err);
}

static lort_code name_output(lort_publish *p, const char *path, lort_error *err)
{
    const char *name;
    lort_code code = without_slashes(p, &path, err);
    if (code == LORT_OK)
        code = lort_os_dir_of(path, &p->parent, &name, err);
    if (code)
        return cannot_begin(code, path, err);
    code = join_name(p, "", name, "", &p->name, err);
    if (code == LORT_OK)
        code = join_name(p, p->options.resumable ? "" : ".", name,
                         p->options.resumable ? ".part" : ".lort-partial", &p->partial, err);
    if (code == LORT_OK)
        code = join_name(p, ".", name, ".lort-lock", &p->guard, err);
    return code;
}

/* ---- what stands there already ---- */

static lort_code is_output(void *ctx, const char *name, lort_error *err)
{
    const char *output = ctx;
    return strcmp(name, output) == 0 ? lort_fail(err, LORT_E_EXISTS, "name is taken") : LORT_OK;
}

/* stat does not see a link that leads nowhere, but its name is taken. */
static lort_code refuse_dangling(lort_publish *p, const char *path, lort_error *err)
{
    void *name;
    char shown[600];
    lort_code code = lort_arena_take(&p->arena, strlen(p->name) + 1, &name, err);
    if (code)
        return code;
    strcpy(name, p->name);
    code = lort_os_dir_list(p->parent, is_output, name, err);
    if (code == LORT_E_EXISTS)
        return lort_fail(err, LORT_E_EXISTS, "output '%s' exists (a link that leads nowhere)",
                         lort_escape_text(shown, sizeof shown, path));
    return LORT_OK; /* LoRT may write to a directory that it cannot list */
}

static lort_code refuse_existing(lort_publish *p, const char *path, lort_error *err)
{
    lort_file_info info;
    bool exists;
    char shown[600];
    lort_code code = lort_os_stat(path, &info, &exists, err);
    if (code)
        return cannot_begin(code, path, err);
    lort_escape_text(shown, sizeof shown, path);
    if (!exists)
        return p->options.force && !p->options.directory ? LORT_OK : refuse_dangling(p, path, err);
    if (info.kind == LORT_FILE_DIRECTORY || p->options.directory)
        return lort_fail(err, LORT_E_EXISTS, "output '%s' exists; %s", shown,
                         info.kind == LORT_FILE_DIRECTORY ? "a directory is never replaced"
                                                          : "a directory never replaces a file");
    if (info.kind == LORT_FILE_OTHER)
        return lort_fail(err, LORT_E_EXISTS,
                         "output '%s' is not a regular file and is never replaced", shown);
    if (!p->options.force)
        return lort_fail(err, LORT_E_EXISTS, "output '%s' exists (--force replaces it)", shown);
    return LORT_OK;
}

static lort_code refuse_full_disk(lort_publish *p, lort_error *err)
{
    uint64_t room;
    char need_text[32], room_text[32], shown[600];
    if (p->options.expect_bytes == 0 || lort_os_free_space(p->parent, &room, NULL) != LORT_OK)
        return LORT_OK;
    if (room + p->found >= p->options.expect_bytes)
        return LORT_OK;
    return lort_fail(err, LORT_E_WRITE,
                     "the output needs %s (%llu bytes), but '%s' has %s (%llu bytes) free",
                     lort_size_text(p->options.expect_bytes, need_text, sizeof need_text),
                     (unsigned long long)p->options.expect_bytes,
                     lort_escape_text(shown, sizeof shown, lort_os_dir_path(p->parent)),
                     lort_size_text(room, room_text, sizeof room_text), (unsigned long long)room);
}

/* ---- the partial, taken ---- */

/* The file that cannot be read is the output. */
lort_code lort_publish_of_output(lort_code code, lort_error *err)
{
    if (code != LORT_E_READ)
        return code;
    if (err)
        err->code = LORT_E_WRITE;
    return LORT_E_WRITE;
}

/* held: the file that somebody locked, or NULL. */
static lort_code locked_by_another(lort_publish *p, const lort_file *held, lort_error *err)
{
    const uint64_t pid = held ? lort_os_lock_holder(held) : 0;
    char who[64] = "on another host, or one that has just ended";
    if (pid)
        snprintf(who, sizeof who, "process %llu on this host", (unsigned long long)pid);
    return lort_fail(err, LORT_E_EXISTS,
                     "output '%s/%s' is being written by another LoRT (%s; it holds %s)",
                     lort_os_dir_path(p->parent), p->name, who, p->partial);
}

/* Opens or creates the file of this name in parent and locks it. *same: the name still leads to
 * this file. On failure: LORT_E_EXISTS if its writer lives; *file is then NULL. */
static lort_code hold_lock(lort_publish *p, const char *name, uint32_t mode, lort_file **file,
                           bool *same, lort_error *err)
{
    *same = false;
    lort_code code = lort_os_create(p->parent, name, mode, true, file, err);
    if (code)
        return code;
    code = lort_os_lock(*file, err);
    if (code == LORT_E_EXISTS)
        code = locked_by_another(p, *file, err);
    else if (code == LORT_OK)
        code = lort_os_leads_to(p->parent, name, *file, same, err);
    if (code) {
        lort_os_close(*file, NULL);
        *file = NULL;
    }
    return code;
}

/* Removes the partial file of a dead writer. On failure: LORT_E_EXISTS if the writer lives. */
static lort_code bury_file(lort_publish *p, lort_error *err)
{
    lort_file *stale;
    bool same;
    lort_code code = hold_lock(p, p->partial, p->options.mode, &stale, &same, err);
    if (code == LORT_OK && same)
        code = lort_os_remove(p->parent, p->partial, false, err);
    lort_os_close(stale, NULL);
    return code;
}

/* Tries once to take a resumable file. *taken: the file is ours now. */
static lort_code take_over(lort_publish *p, bool *taken, lort_error *err)
{
    lort_file *file;
    lort_file_info info = {0};
    lort_code code = hold_lock(p, p->partial, p->options.mode, &file, taken, err);
    if (code == LORT_OK && *taken)
        code = lort_publish_of_output(lort_os_info(file, &info, err), err);
    if (code || !*taken) {
        lort_os_close(file, NULL);
        return code;
    }
    p->file = file;
    p->found = info.size;
    p->made = true;
    p->worth = info.size > 0;
    return LORT_OK;
}

/* Tries once to take the partial file. *taken: the file is ours now. */
static lort_code take_file(lort_publish *p, bool *taken, lort_error *err)
{
    lort_file *file;
    lort_code code = lort_os_create(p->parent, p->partial, p->options.mode, false, &file, err);
    if (code == LORT_E_EXISTS)
        return bury_file(p, err);
    if (code)
        return code;
    code = lort_os_lock(file, err);
    if (code == LORT_OK)
        code = lort_os_leads_to(p->parent, p->partial, file, taken, err);
    if (*taken) {
        p->file = file;
        p->made = true;
        return LORT_OK;
    }
    lort_os_close(file, NULL);
    return code == LORT_E_EXISTS ? LORT_OK : code;
}

static lort_code take_new_file(lort_publish *p, lort_error *err)
{
    bool taken = false;
    for (int i = 0; i < TRIES && !taken; i++) {
        lort_code code =
            p->options.resumable ? take_over(p, &taken, err) : take_file(p, &taken, err);
        if (code)
            return code;
    }
    return taken ? LORT_OK : locked_by_another(p, NULL, err);
}

static lort_code take_lock(lort_publish *p, lort_error *err)
{
    for (int i = 0; i < TRIES; i++) {
        bool same;
        lort_code code = hold_lock(p, p->guard, 0600, &p->lock, &same, err);
        if (code || same)
            return code;
        lort_os_close(p->lock, NULL);
        p->lock = NULL;
    }
    return locked_by_another(p, NULL, err);
}

static lort_code remove_one(void *ctx, const char *name, lort_error *err)
{
    lort_publish *p = ctx;
    return lort_os_remove(p->dir, name, false, err);
}

/* Removes the partial directory that an earlier writer left, with its files. */
static lort_code bury_dir(lort_publish *p, lort_error *err)
{
    lort_code code = cannot_begin(lort_os_dir_list(p->dir, remove_one, p, err), p->partial, err);
    lort_os_dir_close(p->dir);
    p->dir = NULL;
    return code ? code : lort_os_remove(p->parent, p->partial, true, err);
}

/* Takes no memory: the names in our own directory are known. */
void lort_publish_remove_dir(lort_publish *p)
{
    for (const lort_publish_name *file = p->files; file; file = file->next)
        lort_os_remove(p->dir, file->name, false, NULL);
    lort_os_dir_close(p->dir);
    p->dir = NULL;
    lort_os_remove(p->parent, p->partial, true, NULL);
}

static lort_code take_new_dir(lort_publish *p, lort_error *err)
{
    const char *path;
    /* readers of the files may enter */
    uint32_t mode = p->options.mode | (p->options.mode & 0444) >> 2 | 0700;
    lort_code code = join_name(p, lort_os_dir_path(p->parent), "/", p->partial, &path, err);
    if (code == LORT_OK)
        code = take_lock(p, err);
    if (code)
        return code;
    code = lort_os_make_dir(p->parent, p->partial, mode, err);
    if (code == LORT_E_EXISTS) {
        code = cannot_begin(lort_os_dir_open(path, &p->dir, err), p->name, err);
        if (code == LORT_OK)
            code = bury_dir(p, err);
        if (code == LORT_OK)
            code = lort_os_make_dir(p->parent, p->partial, mode, err);
    }
    if (code)
        return code;
    p->made = true;
    return cannot_begin(lort_os_dir_open(path, &p->dir, err), p->name, err);
}

lort_code lort_publish_take(lort_publish *p, const char *path, lort_error *err)
{
    lort_code code = name_output(p, path, err);
    if (code == LORT_OK)
        code = refuse_existing(p, path, err);
    if (code == LORT_OK)
        code = p->options.directory ? take_new_dir(p, err) : take_new_file(p, err);
    if (code == LORT_OK) /* a writer that held the name may have committed */
        code = refuse_existing(p, path, err);
    return code ? code : refuse_full_disk(p, err);
}
