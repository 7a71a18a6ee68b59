/* publish: output that appears whole or not at all. Owns the partial file (or directory) beside the output and its
 * lock; must not touch what stands under the final name before the one rename in commit.
 *
 *   file:       DIR/.NAME.lort-partial            locked while written, renamed to DIR/NAME
 *   resumable:  DIR/NAME.part                     the same; a later writer goes on with it
 *   directory:  DIR/.NAME.lort-partial/FILE ...   renamed to DIR/NAME
 *               DIR/.NAME.lort-lock               locked meanwhile, removed when the directory has its name
 *
 * A partial nobody holds a lock on is a dead writer's. Who gets its lock removes it, or goes on with it; and whoever gets a lock looks
 * whether the name still leads to the file he locked, so of two writers that come at once exactly one goes on. */
#include "loader/store/publish.h"
#include "formats/base/bytes.h"
#include "formats/base/hash.h"
#include "loader/machine/memory.h"
#include "formats/base/text.h"
#include <stdio.h>

#define FLUSH_BYTES (16u << 20) /* at most three of these are dirty: one that fills, two on their way */
#define READ_BYTES (1u << 20)
#define TRIES 100 /* of taking the partial's name, while other writers come and go */
/* Between checkpoints that wait for the disk: a twentieth of the time goes there at most, but there is one a second. */
#define SYNC_SHARE 20
#define SYNC_LEAST_NS 50000000u
#define SYNC_MOST_NS 1000000000u

typedef struct name_list {
    struct name_list *next;
    char name[];
} name_list;

struct lort_publish {
    const lort_alloc *alloc;
    lort_publish_options options;
    lort_arena arena; /* names */
    lort_dir *parent;
    const char *name;    /* final name in parent */
    const char *partial; /* temporary name in parent */
    const char *guard;   /* directory form: name of the lock file in parent */
    lort_dir *dir;       /* directory form: the partial directory */
    name_list *files;    /* directory form: begun in it */
    lort_file *lock;     /* directory form */
    lort_file *file;     /* the one that is written, or NULL */
    uint64_t size;       /* of it */
    lort_hasher *hasher; /* of what was appended to it */
    uint64_t flushed;
    uint64_t found;      /* bytes an earlier writer left; 0: none, or dropped */
    uint64_t synced_ns, sync_ns; /* when the last sync ended, and how long it took */
    bool made, committed; /* partial exists and is ours; it has its final name */
    bool settled;         /* synced and read back since the last append */
    bool worth;           /* there is work in it that close is to leave */
    bool bad, distrusted; /* a sync failed: now, or when what was found was written */
};

/* ---- names ---- */

static lort_code join(lort_publish *p, const char *before, const char *name, const char *after, const char **out,
                      lort_error *err)
{
    void *text;
    size_t n = strlen(before) + strlen(name) + strlen(after) + 1;
    lort_code code = lort_arena_take(&p->arena, n, &text, err);
    if (code == LORT_OK)
        snprintf(text, n, "%s%s%s", before, name, after);
    *out = text;
    return code;
}

/* What is wrong with the place of an output is a write error, said before any work. */
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
    code = join(p, "", name, "", &p->name, err);
    if (code == LORT_OK)
        code = join(p, p->options.resumable ? "" : ".", name, p->options.resumable ? ".part" : ".lort-partial", &p->partial, err);
    if (code == LORT_OK)
        code = join(p, ".", name, ".lort-lock", &p->guard, err);
    return code;
}

/* ---- what stands there already ---- */

static lort_code is_output(void *ctx, const char *name, lort_error *err)
{
    const char *output = ctx;
    return strcmp(name, output) == 0 ? lort_fail(err, LORT_E_EXISTS, "name is taken") : LORT_OK;
}

/* A link that leads nowhere does not exist for stat, yet its name is taken. */
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
        return lort_fail(err, LORT_E_EXISTS, "output '%s' exists (a link that leads nowhere)", lort_escape_text(shown, sizeof shown, path));
    return LORT_OK; /* a directory that cannot be listed may still be written to */
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
                                                          : "it is not replaced by a directory");
    if (info.kind == LORT_FILE_OTHER)
        return lort_fail(err, LORT_E_EXISTS, "output '%s' is not a regular file and is never replaced", shown);
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
    return lort_fail(err, LORT_E_WRITE, "the output needs %s (%llu bytes), but '%s' has %s (%llu bytes) free",
                     lort_size_text(p->options.expect_bytes, need_text, sizeof need_text),
                     (unsigned long long)p->options.expect_bytes, lort_escape_text(shown, sizeof shown, lort_os_dir_path(p->parent)),
                     lort_size_text(room, room_text, sizeof room_text), (unsigned long long)room);
}

/* ---- the partial, taken ---- */

/* What it is that cannot be read is the output. */
static lort_code of_output(lort_code code, lort_error *err)
{
    if (code != LORT_E_READ)
        return code;
    if (err)
        err->code = LORT_E_WRITE;
    return LORT_E_WRITE;
}

/* held: the file whose lock somebody has. */
static lort_code locked_by_another(lort_publish *p, const lort_file *held, lort_error *err)
{
    const uint64_t pid = held ? lort_os_lock_holder(held) : 0;
    char who[64] = "on another host, or one that has just ended";
    if (pid)
        snprintf(who, sizeof who, "process %llu on this host", (unsigned long long)pid);
    return lort_fail(err, LORT_E_EXISTS, "output '%s/%s' is being written by another LoRT (%s; it holds %s)", lort_os_dir_path(p->parent), p->name, who, p->partial);
}

/* The file of this name in parent, new or left by somebody, locked by us; *same: the name still leads to it. LORT_E_EXISTS: its writer lives. *file is NULL
 * after a failure. */
static lort_code hold(lort_publish *p, const char *name, uint32_t mode, lort_file **file, bool *same, lort_error *err)
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

/* Removes a dead writer's partial file; LORT_E_EXISTS if the writer lives. */
static lort_code bury_file(lort_publish *p, lort_error *err)
{
    lort_file *stale;
    bool same;
    lort_code code = hold(p, p->partial, p->options.mode, &stale, &same, err);
    if (code == LORT_OK && same)
        code = lort_os_remove(p->parent, p->partial, false, err);
    lort_os_close(stale, NULL);
    return code;
}

/* One try at a resumable file. */
static lort_code take_over(lort_publish *p, bool *taken, lort_error *err)
{
    lort_file *file;
    lort_file_info info = {0};
    lort_code code = hold(p, p->partial, p->options.mode, &file, taken, err);
    if (code == LORT_OK && *taken)
        code = of_output(lort_os_info(file, &info, err), err);
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

/* One try: *taken says whether the partial file is ours now. */
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
        lort_code code = p->options.resumable ? take_over(p, &taken, err) : take_file(p, &taken, err);
        if (code)
            return code;
    }
    return taken ? LORT_OK : locked_by_another(p, NULL, err);
}

static lort_code take_lock(lort_publish *p, lort_error *err)
{
    for (int i = 0; i < TRIES; i++) {
        bool same;
        lort_code code = hold(p, p->guard, 0600, &p->lock, &same, err);
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

/* The same with our own: what is in it is known, so that it takes no memory. */
static void remove_dir(lort_publish *p)
{
    for (const name_list *file = p->files; file; file = file->next)
        lort_os_remove(p->dir, file->name, false, NULL);
    lort_os_dir_close(p->dir);
    p->dir = NULL;
    lort_os_remove(p->parent, p->partial, true, NULL);
}

static lort_code take_new_dir(lort_publish *p, lort_error *err)
{
    const char *path;
    uint32_t mode = p->options.mode | (p->options.mode & 0444) >> 2 | 0700; /* who may read the files may enter */
    lort_code code = join(p, lort_os_dir_path(p->parent), "/", p->partial, &path, err);
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

/* ---- the interface ---- */

/* A fresh hash for a fresh file. */
static lort_code start_hash(lort_publish *p, lort_error *err)
{
    lort_hasher_close(p->hasher);
    p->hasher = NULL;
    return lort_hasher_open(p->alloc, &p->hasher, err);
}

lort_code lort_publish_begin(const char *path, const lort_publish_options *options, const lort_alloc *alloc,
                             lort_publish **out, lort_error *err)
{
    void *memory;
    *out = NULL;
    lort_code code = lort_take_zero(alloc, sizeof(lort_publish), "the output", &memory, err);
    if (code)
        return code;
    lort_publish *p = memory;
    p->alloc = p->arena.alloc = alloc;
    p->options = *options;
    code = name_output(p, path, err);
    if (code == LORT_OK)
        code = refuse_existing(p, path, err);
    if (code == LORT_OK)
        code = options->directory ? take_new_dir(p, err) : take_new_file(p, err);
    if (code == LORT_OK) /* of a writer who had it until now */
        code = refuse_existing(p, path, err);
    if (code == LORT_OK)
        code = refuse_full_disk(p, err);
    if (code == LORT_OK && !options->directory)
        code = start_hash(p, err);
    if (code) {
        lort_publish_close(p);
        return code;
    }
    *out = p;
    return LORT_OK;
}

static lort_code read_output(lort_publish *p, void *buffer, uint64_t n, uint64_t offset, lort_error *err)
{
    return of_output(lort_os_read(p->file, buffer, n, offset, err), err);
}

/* again: written where it stands, so that the next sync has it. */
static lort_code hash_range(lort_publish *p, uint8_t *piece, uint64_t from, uint64_t to, bool again, lort_hasher *hasher, lort_error *err)
{
    for (uint64_t at = from; at < to; at += READ_BYTES) {
        uint64_t n = to - at < READ_BYTES ? to - at : READ_BYTES;
        lort_code code = read_output(p, piece, n, at, err);
        if (code == LORT_OK && again)
            code = lort_os_write(p->file, piece, n, at, err);
        if (code)
            return code;
        lort_hasher_add(hasher, piece, n);
        if (p->options.stop && p->options.stop(p->options.stop_ctx))
            return lort_fail(err, LORT_E_STOPPED, "stopped; nothing was published");
    }
    return LORT_OK;
}

static lort_code hash_back(lort_publish *p, uint8_t *piece, lort_hasher *found, lort_error *err)
{
    lort_code code = hash_range(p, piece, 0, p->size, false, found, err);
    if (code)
        return code;
    lort_hash128 wrote = lort_hasher_value(p->hasher), read = lort_hasher_value(found);
    char shown[600];
    if (memcmp(wrote.bytes, read.bytes, sizeof wrote.bytes) != 0)
        return lort_fail(err, LORT_E_WRITE, "%s: the file read back is not what was written: a failing disk?", lort_escape_text(shown, sizeof shown, lort_os_file_path(p->file)));
    return LORT_OK;
}

/* After a failed sync nobody knows what is on the disk. */
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

/* Syncs the file and reads it back (from the disk where flush_behind dropped its pages): only what is really there is published. */
lort_code lort_publish_settle(lort_publish *p, lort_error *err)
{
    void *piece;
    lort_hasher *found;
    if (p->settled || !p->file)
        return LORT_OK;
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

static lort_code note_name(lort_publish *p, const char *name, lort_error *err)
{
    void *memory;
    lort_code code = lort_arena_take(&p->arena, sizeof(name_list) + strlen(name) + 1, &memory, err);
    if (code)
        return code;
    name_list *file = memory;
    file->next = p->files;
    strcpy(file->name, name);
    p->files = file;
    return LORT_OK;
}

lort_code lort_publish_file(lort_publish *p, const char *name, lort_error *err)
{
    if (!p->options.directory) /* its one file is open since begin */
        return p->size ? lort_fail(err, LORT_E_INTERNAL, "a second file in a single output") : LORT_OK;
    lort_code code = finish_file(p, err);
    if (code == LORT_OK)
        code = start_hash(p, err);
    if (code)
        return code;
    p->size = p->flushed = 0;
    code = note_name(p, name, err);
    return code ? code : lort_os_create(p->dir, name, p->options.mode, false, &p->file, err);
}

lort_code lort_publish_append(lort_publish *p, const void *bytes, uint64_t n, lort_error *err)
{
    if (!p->file)
        return lort_fail(err, LORT_E_INTERNAL, "output without a file");
    lort_code code = lort_os_write(p->file, bytes, n, p->size, err);
    if (code)
        return code;
    p->settled = false;
    lort_hasher_add(p->hasher, bytes, n);
    p->size += n;
    if (p->size - p->flushed >= FLUSH_BYTES) {
        lort_os_flush_behind(p->file, p->flushed, p->size - p->flushed);
        p->flushed = p->size;
    }
    return LORT_OK;
}

uint64_t lort_publish_size(const lort_publish *p) { return p->size; }

/* ---- resumable files ---- */

lort_dir *lort_publish_dir(const lort_publish *p) { return p->parent; }
const char *lort_publish_partial(const lort_publish *p) { return p->partial; }
uint64_t lort_publish_found(const lort_publish *p) { return p->found; }
void lort_publish_keep(lort_publish *p, bool keep) { p->worth = keep; }
bool lort_publish_stays(const lort_publish *p) { return p->made && !p->committed && p->worth; }
bool lort_publish_bad(const lort_publish *p) { return p->bad; }
void lort_publish_distrust(lort_publish *p) { p->distrusted = true; }

lort_code lort_publish_look(lort_publish *p, void *buffer, uint64_t n, uint64_t offset, lort_error *err)
{
    if (offset > p->found || n > p->found - offset)
        return lort_fail(err, LORT_E_INTERNAL, "a look at %llu bytes behind %llu of %llu", (unsigned long long)n, (unsigned long long)offset,
                         (unsigned long long)p->found);
    return read_output(p, buffer, n, offset, err);
}

lort_code lort_publish_adopt(lort_publish *p, uint64_t n, lort_error *err)
{
    void *piece;
    if (p->size > p->found || n > p->found - p->size)
        return lort_fail(err, LORT_E_INTERNAL, "adopting %llu bytes behind %llu of %llu", (unsigned long long)n, (unsigned long long)p->size,
                         (unsigned long long)p->found);
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
    lort_code code = p->found > p->size ? lort_os_truncate(p->file, p->size, err) : LORT_OK;
    if (code)
        return code;
    p->found = 0;
    p->worth = false;
    return LORT_OK;
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

/* All is there but the name: what was worked for hours is not thrown away for that. */
static lort_code give_name(lort_publish *p, bool replace, lort_error *err)
{
    char shown[300];
    lort_code code = lort_os_rename(p->parent, p->partial, p->name, replace, err);
    if (code != LORT_E_WRITE)
        return code;
    p->worth = true;
    if (err)
        snprintf(err->message + strlen(err->message), sizeof err->message - strlen(err->message), "; complete and checked it is there as '%s'",
                 lort_escape_text(shown, sizeof shown, p->partial));
    return code;
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
    return code ? code : give_name(p, false, err);
}

lort_code lort_publish_commit(lort_publish *p, lort_error *err)
{
    lort_code code = p->options.directory ? commit_dir(p, err) : commit_file(p, err);
    if (code)
        return code;
    p->committed = true;
    return lort_os_dir_sync(p->parent, err);
}

void lort_publish_close(lort_publish *p)
{
    if (!p)
        return;
    if (lort_publish_stays(p) && p->file && !p->bad) /* a second sync would say all is well */
        sync_file(p, NULL);
    /* What is ours is removed before its lock goes: afterwards a newcomer's partial may stand under the same name. */
    const bool removed = p->made && !p->committed && !lort_publish_stays(p);
    if (removed && p->dir)
        remove_dir(p);
    else if (removed)
        lort_os_remove(p->parent, p->partial, p->options.directory, NULL);
    if (p->lock)
        lort_os_remove(p->parent, p->guard, false, NULL);
    lort_hasher_close(p->hasher);
    lort_os_close(p->file, NULL);
    lort_os_close(p->lock, NULL);
    lort_os_dir_close(p->dir);
    lort_os_dir_close(p->parent);
    lort_arena_free(&p->arena);
    lort_give(p->alloc, p, sizeof *p);
}
