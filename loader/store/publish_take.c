/* publish_take: names, locks and refusals: how a writer gets its partial output.
 *
 *   resumable:  DIR/NAME.part                     locked while written, renamed to DIR/NAME
 *               DIR/NAME.part.writer              the heartbeat of the writer (heartbeat.h)
 *   file:       DIR/.NAME.lort-partial            renamed to DIR/NAME
 *   directory:  DIR/.NAME.lort-partial/PATH ...   renamed to DIR/NAME (publish_tree.c)
 *   both:       DIR/.NAME.lort-lock               locked meanwhile; removed after the rename
 *
 * A partial output that nobody locks belongs to a dead writer. A writer that gets the lock removes
 * the partial output, or resumes it. After it gets a lock, a writer checks that the name still
 * leads to the file it locked. So if two writers come at once, exactly one goes on.
 *
 * LoRT takes over and removes only what it can prove that an earlier run made: by its beginning
 * (own.h), or by a note in the lock file (publish_guard.c). DIR is opened once and held. Below it
 * LoRT follows no link. */
#include "formats/base/text.h"
#include "loader/os/os.h"
#include "loader/store/publish_parts.h"
#include <stdio.h>
#include <string.h>

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
    lort_error_file(err, path);
    if (err)
        err->code = LORT_E_WRITE;
    return LORT_E_WRITE;
}

/* "new/" means the directory "new". */
static lort_code without_slashes(lort_publish *p, const char **path, lort_error *err)
{
    size_t n = strlen(*path);
    while (p->options.directory && n > 1 && lort_os_is_separator((*path)[n - 1]))
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
    if (code == LORT_OK)
        code = join_name(p, "", name, ".part.writer", &p->writer, err);
    return code;
}

/* ---- what stands there already ---- */

/* Why `force` may not replace it, or NULL. */
static const char *never_replaced(const lort_publish *p, const lort_file_info *info)
{
    if (info->kind == LORT_FILE_DIRECTORY)
        return "; a directory is never replaced";
    if (p->options.directory)
        return "; a directory never replaces a file";
    if (info->kind == LORT_FILE_OTHER)
        return " and is not a regular file, which is never replaced";
    if (p->options.force)
        return NULL;
    return info->kind == LORT_FILE_LINK
               ? " and is a symbolic link (--force replaces the link, not its target)"
               : " (--force replaces it)";
}

static lort_code refuse_existing(lort_publish *p, const char *path, lort_error *err)
{
    lort_file_info info;
    lort_file *found = NULL;
    bool exists;
    char shown[600];
    lort_code code = lort_os_look(p->parent, p->name, &info, &exists, err);
    if (code || !exists)
        return code;
    const char *why = never_replaced(p, &info);
    if (why) {
        lort_fail(err, LORT_E_EXISTS, "output '%s' exists%s",
                  lort_escape_text(shown, sizeof shown, path), why);
        lort_error_file(err, path);
        return LORT_E_EXISTS;
    }
    if (p->options.own_only)
        code = lort_own_open(p->parent, p->name, p->options.begins, &found, err);
    lort_os_close(found, NULL);
    return code;
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

/* ---- the partial output, taken ---- */

static lort_code take_resumable(lort_publish *p, lort_error *err)
{
    lort_file_info info = {0};
    bool found;
    const lort_publish_hold how = {p->partial, p->options.begins, p->options.mode};
    lort_code code = lort_publish_take_name(p, &how, &p->file, &found, err);
    if (code == LORT_OK)
        code = lort_os_restrict(p->file, p->options.mode, err);
    if (code == LORT_OK)
        code = lort_publish_of_output(lort_os_info(p->file, &info, err), err);
    if (code) {
        lort_os_close(p->file, NULL);
        p->file = NULL;
        return code;
    }
    p->found = info.size;
    p->made = true;
    p->worth = info.size > 0;
    return LORT_OK;
}

static lort_code make_partial_file(lort_publish *p, lort_error *err)
{
    lort_file_info info;
    lort_code code = lort_os_create(p->parent, p->partial, p->options.mode, &p->file, err);
    p->made = code == LORT_OK;
    if (code == LORT_OK)
        code = lort_publish_of_output(lort_os_info(p->file, &info, err), err);
    return code ? code : lort_publish_guard_begin(p, &info, err);
}

/* Removes the partial output that an earlier writer left. */
static lort_code bury(lort_publish *p, lort_error *err)
{
    lort_file_info info;
    bool exists;
    lort_code code = lort_os_look(p->parent, p->partial, &info, &exists, err);
    if (code || !exists)
        return code;
    if (info.kind == LORT_FILE_DIRECTORY)
        return lort_publish_bury_dir(p, &info, err);
    code = lort_publish_check_left(p, p->parent, p->partial, false, err);
    return code ? code : lort_os_remove(p->parent, p->partial, false, err);
}

/* The notes must outlive what they prove. So the removal is on the disk before LoRT drops them. */
static lort_code bury_durably(lort_publish *p, lort_error *err)
{
    lort_code code = bury(p, err);
    return code || !p->lock_found ? code : lort_os_dir_sync(p->parent, err);
}

static lort_code take_guarded(lort_publish *p, lort_error *err)
{
    lort_code code = lort_publish_guard_take(p, err);
    if (code == LORT_OK)
        code = bury_durably(p, err);
    if (code)
        return code;
    return p->options.directory ? lort_publish_make_dir(p, err) : make_partial_file(p, err);
}

lort_code lort_publish_take(lort_publish *p, const char *path, lort_error *err)
{
    lort_code code = name_output(p, path, err);
    if (code == LORT_OK)
        code = refuse_existing(p, path, err);
    if (code == LORT_OK)
        code = p->options.resumable ? take_resumable(p, err) : take_guarded(p, err);
    if (code == LORT_OK) /* a writer that held the name may have committed */
        code = refuse_existing(p, path, err);
    return cannot_begin(code ? code : refuse_full_disk(p, err), path, err);
}
