/* publish: writes the partial file (or directory) beside the output and holds its lock. It must not
 * touch anything under the final name before the one rename in commit. publish_take.c takes the
 * partial output, publish_tree.c has the files of a directory, and publish_guard.c owns the lock
 * file. */
#include "formats/base/bytes.h"
#include "formats/base/plain_path.h"
#include "formats/base/text.h"
#include "loader/store/publish_parts.h"
#include <stdio.h>
#include <string.h>

/* At most three pieces of this size are dirty: one that fills, two on their way to the disk. */
#define FLUSH_BYTES (16u << 20)
#define READ_BYTES (1u << 20)
/* Nanoseconds between two syncs of checkpoints: SYNC_SHARE times the duration of the last sync,
 * clamped to 50 ms - 1 s. So sync takes about 5 % of the time, and more only where one takes over
 * 50 ms. */
#define SYNC_SHARE 20
#define SYNC_LEAST_NS 50000000u
#define SYNC_MOST_NS 1000000000u

/* Starts a new hash for a new file. */
static lort_code start_hash(lort_publish *p, lort_error *err)
{
    lort_hasher_close(p->marked); /* it was of the file before */
    p->marked = NULL;
    lort_hasher_close(p->hasher);
    p->hasher = NULL;
    return lort_hasher_open(p->alloc, &p->hasher, err);
}

lort_code lort_publish_begin(const char *path, const lort_publish_options *options,
                             const lort_alloc *alloc, lort_publish **out, lort_error *err)
{
    void *memory;
    *out = NULL;
    lort_code code = lort_take_zero(alloc, sizeof(lort_publish), "the output", &memory, err);
    if (code)
        return code;
    lort_publish *p = memory;
    p->alloc = p->arena.alloc = alloc;
    p->options = *options;
    code = lort_publish_take(p, path, err);
    if (code == LORT_OK && !options->directory)
        code = start_hash(p, err);
    if (code) {
        lort_publish_close(p);
        return code;
    }
    *out = p;
    return LORT_OK;
}

static lort_code read_output(lort_publish *p, void *buffer, uint64_t n, uint64_t offset,
                             lort_error *err)
{
    return lort_publish_of_output(lort_os_read(p->file, buffer, n, offset, err), err);
}

/* again: writes the bytes back to their place, so that the next sync includes them. */
static lort_code hash_range(lort_publish *p, uint8_t *piece, uint64_t from, uint64_t to, bool again,
                            lort_hasher *hasher, lort_error *err)
{
    for (uint64_t at = from; at < to; at += READ_BYTES) {
        uint64_t n = to - at < READ_BYTES ? to - at : READ_BYTES;
        lort_code code = read_output(p, piece, n, at, err);
        if (code == LORT_OK && again)
            code = lort_os_write(p->file, piece, n, at, err);
        if (code)
            return code;
        lort_hasher_add(hasher, piece, n);
        if (!again && p->options.reads_back)
            p->options.reads_back(p->options.stop_ctx, at + n, p->size);
        if (p->options.stop && p->options.stop(p->options.stop_ctx))
            return lort_fail(err, LORT_E_STOPPED, "stopped; nothing was published");
    }
    return LORT_OK;
}

static lort_code hash_back(lort_publish *p, uint8_t *piece, lort_hasher *found, lort_error *err)
{
    uint64_t done;
    lort_code code = lort_publish_along_take(p, found, &done, err);
    if (code == LORT_OK)
        code = hash_range(p, piece, done, p->size, false, found, err);
    if (code)
        return code;
    lort_hash128 wrote = lort_hasher_value(p->hasher), read = lort_hasher_value(found);
    char shown[600];
    if (memcmp(wrote.bytes, read.bytes, sizeof wrote.bytes) != 0)
        return lort_fail(err, LORT_E_WRITE,
                         "%s: the file read back is not what was written: a failing disk?",
                         lort_escape_text(shown, sizeof shown, lort_os_file_path(p->file)));
    return LORT_OK;
}

/* After a failed sync the contents of the disk are unknown. */
static lort_code sync_file(lort_publish *p, lort_error *err)
{
    const uint64_t begin = lort_os_clock_ns();
    lort_code code = lort_os_sync(p->file, err);
    if (code) {
        p->bad = true;
        p->worth = false;
    }
    p->synced_ns = lort_os_clock_ns();
    p->sync_ns = p->synced_ns - begin;
    return code;
}

/* Syncs the file and reads it back, so that LoRT publishes only what the disk holds. Pages that
 * flush_behind dropped come from the disk. */
lort_code lort_publish_settle(lort_publish *p, lort_error *err)
{
    void *piece;
    lort_hasher *found;
    if (p->settled || !p->file)
        return LORT_OK;
    if (p->options.reads_back)
        p->options.reads_back(p->options.stop_ctx, 0, p->size);
    lort_code code = sync_file(p, err);
    if (code)
        return code;
    lort_os_flush_behind(p->file, p->flushed, p->size - p->flushed);
    code = lort_take(p->alloc, READ_BYTES, "reading back", &piece, err);
    if (code)
        return code;
    code = lort_hasher_open(p->alloc, &found, err);
    if (code == LORT_OK)
        code = hash_back(p, piece, found, err);
    lort_hasher_close(found);
    lort_give(p->alloc, piece, READ_BYTES);
    p->settled = code == LORT_OK;
    return code;
}

static lort_code finish_file(lort_publish *p, lort_error *err)
{
    lort_file *file = p->file;
    if (!file)
        return LORT_OK;
    lort_code code = lort_publish_settle(p, err);
    if (code)
        return code;
    p->file = NULL;
    p->settled = false;
    return lort_os_close(file, err);
}

static lort_code note_file(lort_publish *p, const char *path, lort_error *err)
{
    lort_file_info info;
    lort_code code = lort_publish_of_output(lort_os_info(p->file, &info, err), err);
    return code ? code : lort_publish_made(p, path, (uint32_t)strlen(path), &info, err);
}

/* Removes the file again if it cannot be noted: nobody could prove later that LoRT made it. */
static lort_code create_file(lort_publish *p, const char *path, lort_error *err)
{
    lort_dir *folder;
    lort_code code = lort_publish_enter(p, path, lort_path_folder(path), true, &folder, err);
    if (code)
        return code;
    lort_dir *dir = folder ? folder : p->dir;
    code = lort_os_create(dir, lort_path_base(path), p->options.mode, &p->file, err);
    if (code == LORT_OK) {
        code = note_file(p, path, err);
        if (code && (!p->files || strcmp(p->files->name, path) != 0))
            lort_own_remove(dir, lort_path_base(path), p->file, NULL);
    }
    lort_os_dir_close(folder);
    return code;
}

lort_code lort_publish_file(lort_publish *p, const char *name, lort_error *err)
{
    if (!p->options.directory) /* its one file is open since begin */
        return p->size ? lort_fail(err, LORT_E_INTERNAL, "a second file in a single output")
                       : LORT_OK;
    lort_code code = finish_file(p, err);
    if (code == LORT_OK)
        code = start_hash(p, err);
    if (code)
        return code;
    p->size = p->flushed = 0;
    return create_file(p, name, err);
}

/* Writes the next n bytes. The beginning of a resumable file is on the disk before the rest: it
 * proves later that the file is LoRT's. */
static lort_code write_next(lort_publish *p, const uint8_t *bytes, uint64_t n, lort_error *err)
{
    uint64_t first = 0;
    lort_code code = LORT_OK;
    if (p->options.resumable && p->size == 0) {
        first = n < LORT_OWN_BEGIN ? n : LORT_OWN_BEGIN;
        code = lort_own_begin(p->file, bytes, first, err);
    }
    return code || n == first
               ? code
               : lort_os_write(p->file, bytes + first, n - first, p->size + first, err);
}

lort_code lort_publish_append(lort_publish *p, const void *bytes, uint64_t n, lort_error *err)
{
    if (!p->file)
        return lort_fail(err, LORT_E_INTERNAL, "output without a file");
    lort_code code = write_next(p, bytes, n, err);
    if (code)
        return code;
    p->settled = false;
    lort_hasher_add(p->hasher, bytes, n);
    p->size += n;
    if (p->size - p->flushed >= FLUSH_BYTES) {
        lort_os_flush_behind(p->file, p->flushed, p->size - p->flushed);
        lort_publish_along_ready(p, p->flushed); /* the range before has left the page cache */
        p->flushed = p->size;
    }
    return LORT_OK;
}

uint64_t lort_publish_size(const lort_publish *p) { return p->size; }

lort_code lort_publish_pad(lort_publish *p, uint64_t size, lort_error *err)
{
    static const uint8_t zeros[4096];
    lort_code code = LORT_OK;
    while (code == LORT_OK && lort_publish_size(p) < size) {
        const uint64_t n = size - lort_publish_size(p);
        code = lort_publish_append(p, zeros, n < sizeof zeros ? n : sizeof zeros, err);
    }
    return code;
}

lort_code lort_publish_mark(lort_publish *p, lort_error *err)
{
    lort_code code = p->marked ? LORT_OK : lort_hasher_open(p->alloc, &p->marked, err);
    if (code)
        return code;
    lort_hasher_copy(p->marked, p->hasher);
    p->mark = p->size;
    return LORT_OK;
}

lort_code lort_publish_rewind(lort_publish *p, lort_error *err)
{
    if (!p->marked || p->mark > p->size)
        return lort_fail(err, LORT_E_INTERNAL, "no mark to go back to");
    lort_publish_along_close(p);
    lort_code code = lort_os_truncate(p->file, p->mark, err);
    if (code)
        return code;
    lort_hasher_copy(p->hasher, p->marked);
    p->size = p->mark;
    p->flushed = p->flushed < p->size ? p->flushed : p->size;
    p->settled = false;
    return LORT_OK;
}

/* ---- resumable files ---- */

static lort_code leads_to_ours(const lort_publish *p, const char *name, bool *same, lort_error *err)
{
    return p->options.directory ? lort_os_leads_to_dir(p->parent, name, p->dir, same, err)
                                : lort_os_leads_to(p->parent, name, p->file, same, err);
}

lort_dir *lort_publish_dir(const lort_publish *p) { return p->parent; }
const char *lort_publish_partial(const lort_publish *p) { return p->partial; }
uint64_t lort_publish_found(const lort_publish *p) { return p->found; }
void lort_publish_keep(lort_publish *p, bool keep) { p->worth = keep; }

/* LoRT looks: somebody may have removed the partial output or put another file there. */
bool lort_publish_stays(const lort_publish *p)
{
    bool same = false;
    if (lort_heartbeat_lost(p->heartbeat))
        return p->made && !p->committed; /* it is another writer's */
    return p->made && !p->committed && p->worth &&
           leads_to_ours(p, p->partial, &same, NULL) == LORT_OK && same;
}
bool lort_publish_bad(const lort_publish *p) { return p->bad; }
void lort_publish_distrust(lort_publish *p) { p->distrusted = true; }

lort_code lort_publish_look(lort_publish *p, void *buffer, uint64_t n, uint64_t offset,
                            lort_error *err)
{
    if (offset > p->found || n > p->found - offset)
        return lort_fail(
            err, LORT_E_INTERNAL, "reading %llu bytes at offset %llu of %llu found bytes",
            (unsigned long long)n, (unsigned long long)offset, (unsigned long long)p->found);
    return read_output(p, buffer, n, offset, err);
}

lort_code lort_publish_adopt(lort_publish *p, uint64_t n, lort_error *err)
{
    void *piece;
    if (p->size > p->found || n > p->found - p->size)
        return lort_fail(
            err, LORT_E_INTERNAL, "adopting %llu bytes at offset %llu of %llu found bytes",
            (unsigned long long)n, (unsigned long long)p->size, (unsigned long long)p->found);
    const uint64_t room = n < READ_BYTES ? n : READ_BYTES;
    lort_code code = lort_take(p->alloc, room, "reading back", &piece, err);
    if (code)
        return code;
    code = hash_range(p, piece, p->size, p->size + n, p->distrusted, p->hasher, err);
    lort_give(p->alloc, piece, room);
    if (code == LORT_OK)
        p->flushed = p->size += n;
    return code;
}

lort_code lort_publish_drop(lort_publish *p, lort_error *err)
{
    lort_code code = lort_publish_check(p, err);
    if (code == LORT_OK && p->found > p->size)
        code = lort_os_truncate(p->file, p->size, err);
    if (code)
        return code;
    p->found = 0;
    p->worth = false;
    return LORT_OK;
}

void lort_publish_cut(lort_publish *p, uint64_t n)
{
    if (n >= p->size || !p->options.resumable || lort_publish_check(p, NULL) != LORT_OK)
        return;
    p->worth = p->worth && lort_os_truncate(p->file, n, NULL) == LORT_OK;
    p->size = n;
}

lort_code lort_publish_check(lort_publish *p, lort_error *err)
{
    return lort_heartbeat_check(p->heartbeat, err);
}

lort_code lort_publish_checkpoint(lort_publish *p, lort_error *err)
{
    if (!p->options.resumable)
        return LORT_OK;
    uint64_t pause = SYNC_SHARE * p->sync_ns;
    pause = pause < SYNC_LEAST_NS ? SYNC_LEAST_NS : pause > SYNC_MOST_NS ? SYNC_MOST_NS : pause;
    p->worth = true;
    return lort_os_clock_ns() - p->synced_ns < pause ? LORT_OK : sync_file(p, err);
}

/* ---- the end ---- */

/* Fails if `name` does not lead to the file or directory that LoRT wrote and checked. */
static lort_code check_name(const lort_publish *p, const char *name, lort_error *err)
{
    bool same;
    char shown[300], place[300];
    lort_code code = leads_to_ours(p, name, &same, err);
    if (code || same)
        return code;
    return lort_fail(err, LORT_E_WRITE,
                     "'%s' in '%s' is not the output that LoRT wrote: somebody removed or replaced "
                     "it during the run; LoRT leaves what is there",
                     lort_escape_text(shown, sizeof shown, name),
                     lort_escape_text(place, sizeof place, lort_os_dir_path(p->parent)));
}

/* Only the name is missing. LoRT does not delete the work of hours for that. */
static void keep_complete(lort_publish *p, lort_error *err)
{
    char shown[300];
    p->worth = true;
    if (err && lort_publish_stays(p))
        snprintf(err->message + strlen(err->message), sizeof err->message - strlen(err->message),
                 "; the complete and checked output is in '%s'",
                 lort_escape_text(shown, sizeof shown, p->partial));
}

/* Nobody can swap the name and the file in one step with the check. So LoRT looks again after the
 * rename, and says what it finds. */
static lort_code give_name(lort_publish *p, bool replace, lort_error *err)
{
    lort_code code = lort_publish_check(p, err);
    if (code == LORT_OK)
        code = check_name(p, p->partial, err);
    if (code)
        return code;
    code = lort_os_rename(p->parent, p->partial, p->name, replace, err);
    if (code == LORT_E_WRITE)
        keep_complete(p, err);
    if (code)
        return code;
    p->committed = true;
    code = check_name(p, p->name, err);
    return code ? lort_error_prefix(err, "after the rename") : LORT_OK;
}

/* The single file stays open, and so locked, until it has its name. */
static lort_code commit_file(lort_publish *p, lort_error *err)
{
    lort_code code = lort_publish_settle(p, err);
    return code ? code : give_name(p, p->options.force, err);
}

static lort_code commit_dir(lort_publish *p, lort_error *err)
{
    lort_code code = finish_file(p, err);
    if (code == LORT_OK)
        code = lort_os_dir_sync(p->dir, err);
    if (code == LORT_OK)
        code = lort_publish_check_dir(p, err);
    return code ? code : give_name(p, false, err);
}

lort_code lort_publish_commit(lort_publish *p, lort_error *err)
{
    lort_code code = p->options.directory ? commit_dir(p, err) : commit_file(p, err);
    if (code)
        return code;
    code = lort_os_dir_sync(p->parent, err);
    return code ? lort_error_prefix(err, "the output has its name, but may lose it if power fails")
                : LORT_OK;
}

void lort_publish_close(lort_publish *p)
{
    if (!p)
        return;
    lort_publish_along_close(p);
    if (!p->committed)
        (void)lort_publish_check(p, NULL); /* what another writer took over is not touched */
    const bool stays = lort_publish_stays(p), removed = p->made && !p->committed && !stays;
    if (stays && p->file && !p->bad &&
        !lort_heartbeat_lost(p->heartbeat)) /* a second sync would report success */
        sync_file(p, NULL);
    /* LoRT removes its partial output before it releases the lock. Afterwards another writer's
     * partial output may have the same name. */
    if (removed && p->dir) {
        /* On older Windows a removed file keeps its name until it is closed. */
        lort_os_close(p->file, NULL);
        p->file = NULL;
        lort_publish_remove_dir(p);
    } else if (removed && p->file)
        lort_own_remove(p->parent, p->partial, p->file, NULL);
    if (p->lock && p->lock_begun && !stays) /* a partial output that stays needs its notes */
        lort_own_remove(p->parent, p->guard, p->lock, NULL);
    lort_heartbeat_stop(p->heartbeat);
    lort_hasher_close(p->marked);
    lort_hasher_close(p->hasher);
    lort_os_close(p->file, NULL);
    lort_os_close(p->lock, NULL);
    lort_os_dir_close(p->dir);
    lort_os_dir_close(p->parent);
    lort_arena_free(&p->arena);
    lort_give(p->alloc, p, sizeof *p);
}
