/* spool: opens the model behind a source on the network, and closes it. */
#include "loader/spool/spool.h"
#include "formats/base/plain_path.h"
#include "formats/base/text.h"
#include "loader/spool/spool_parts.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Side files up to this size come whole, with one request. */
#define SMALL_FILE (1u << 20)
#define AHEAD_MOST ((uint64_t)48 << 20)  /* read ahead beside what is in work */
#define PARTLY_FULL ((uint64_t)1 << 20)  /* slots of units that are here in part */
#define AHEAD_FIRST ((uint64_t)16 << 20) /* read ahead before the work begins: heads, samples */
#define AHEAD_SHARE 4                    /* of the free space of the disk, one in so many */

static _Thread_local char this_thread; /* its address stands for the thread */
static void say_held(lort_spool *spool);

/* ---- the source ---- */

static lort_code list(void *ctx, lort_code (*each)(void *each_ctx, const char *name, lort_error *),
                      void *each_ctx, lort_error *err)
{
    const lort_spool *spool = ctx;
    lort_code code = LORT_OK;
    for (uint32_t i = 0; i < spool->file_count && code == LORT_OK; i++)
        code = each(each_ctx, spool->files[i].path, err);
    return code;
}

static lort_code named(const lort_spool *spool, const char *name, lort_spool_file **out,
                       lort_error *err)
{
    char shown[300];
    *out = lort_spool_named(spool, name);
    return *out ? LORT_OK
                : lort_fail(err, LORT_E_INPUT, "%s: %s has no such file",
                            lort_escape_text(shown, sizeof shown, name),
                            lort_remote_label(spool->remote));
}

static lort_code size_of(void *ctx, const char *name, uint64_t *size, lort_error *err)
{
    lort_spool_file *file;
    lort_code code = named(ctx, name, &file, err);
    *size = code ? 0 : file->size;
    return code;
}

static lort_code read_start(void *ctx, const char *name, void *buffer, uint64_t n, lort_error *err)
{
    lort_spool *spool = ctx;
    lort_spool_file *file;
    lort_code code = named(spool, name, &file, err);
    if (code == LORT_OK && file->size <= SMALL_FILE)
        code = lort_spool_bring(spool, file, 0, file->size, err);
    return code ? code : lort_spool_read(spool, file, buffer, n, 0, err);
}

/* ---- the supply ---- */

static lort_code find(void *ctx, const char *name, uint32_t *number, const char **identity,
                      lort_error *err)
{
    const lort_spool *spool = ctx;
    lort_spool_file *file;
    lort_code code = named(spool, name, &file, err);
    *number = code ? 0 : (uint32_t)(file - spool->files);
    *identity = code ? NULL : file->identity;
    return code;
}

static lort_code read_bytes(void *ctx, uint32_t file, void *buffer, uint64_t n, uint64_t offset,
                            lort_error *err)
{
    lort_spool *spool = ctx;
    return lort_spool_read(spool, &spool->files[file], buffer, n, offset, err);
}

static lort_code load(void *ctx, uint32_t file, uint64_t from, uint8_t *memory, lort_error *err)
{
    lort_spool *spool = ctx;
    return lort_spool_load_file(spool, &spool->files[file], from, memory, err);
}

/* The first page may hold the end of the bytes before, which are used already. The last page may
 * hold the beginning of the bytes behind, which are not. */
static void release(void *ctx, uint32_t number, uint64_t offset, uint64_t n)
{
    lort_spool *spool = ctx;
    lort_spool_file *file = &spool->files[number];
    const uint64_t end = offset + n;
    if (n == 0)
        return;
    lort_spool_prove_along(spool, file, offset, end);
    if (spool->keep)
        return;
    lort_os_lock_mutex(spool->mutex);
    lort_spool_pass(spool, number, end / LORT_SPOOL_PAGE);
    if (file->units)
        lort_spool_free_pages(spool, file, offset / LORT_SPOOL_PAGE,
                              end == file->size ? lort_spool_pages(file) : end / LORT_SPOOL_PAGE);
    lort_os_wake_all(spool->changed);
    lort_os_unlock_mutex(spool->mutex);
}

static lort_code prove(void *ctx, uint32_t file, uint64_t end, lort_buffer *state, lort_error *err)
{
    lort_spool *spool = ctx;
    say_held(spool);
    return lort_spool_prove(spool, &spool->files[file], end, state, err);
}

static void proved(void *ctx, uint32_t file, uint64_t end, const uint8_t *state, uint64_t bytes)
{
    lort_spool *spool = ctx;
    lort_spool_proved(&spool->files[file], end, state, bytes);
}

/* Reading ahead takes a part of the free space at most. What is in work may take all of it. */
static lort_code begin(void *ctx, uint64_t work, uint64_t bytes, bool full, lort_error *err)
{
    lort_spool *spool = ctx;
    char need_text[32], free_text[32];
    uint64_t space = 0;
    lort_code code = lort_os_free_space(spool->dir, &space, err);
    if (code)
        return code;
    const uint64_t need = full          ? 0
                          : spool->keep ? bytes
                                        : work,
                   part = space / AHEAD_SHARE, most = AHEAD_MOST;
    if (need > space)
        return lort_fail(err, LORT_E_WRITE,
                         "not enough space for the spool in %s (free %s, needed %s); --spool DIR "
                         "names another place",
                         lort_os_dir_path(spool->dir),
                         lort_size_text(space, free_text, sizeof free_text),
                         lort_size_text(need, need_text, sizeof need_text));
    const uint64_t ahead = most < part ? most : part;
    lort_os_lock_mutex(spool->mutex);
    spool->plan = spool->pages * LORT_SPOOL_PAGE + (full          ? 0
                                                    : spool->keep ? bytes
                                                                  : work + ahead + PARTLY_FULL);
    spool->plan = spool->plan < bytes ? spool->plan : bytes;
    spool->pages_ahead =
        spool->keep ? UINT64_MAX / LORT_SPOOL_PAGE : spool->pages + ahead / LORT_SPOOL_PAGE;
    lort_os_unlock_mutex(spool->mutex);
    return LORT_OK;
}

static void ask(void *ctx, uint32_t file, uint64_t offset, uint64_t n)
{
    lort_spool_ask(ctx, file, offset, n);
}

/* The files that were read, and not proved to their ends. */
static uint32_t count_unproved(const lort_spool *spool)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < spool->file_count; i++)
        count += (spool->files[i].units || spool->files[i].loaded) && !spool->files[i].proved &&
                 lort_remote_get(spool->remote, spool->files[i].number)->has_sha256;
    return count;
}

static void tell(void *ctx, lort_supply_figures *out)
{
    const lort_spool *spool = ctx;
    lort_remote_counts counts;
    lort_remote_count_all(spool->remote, &counts);
    lort_os_lock_mutex(spool->mutex);
    *out = (lort_supply_figures){.label = lort_remote_label(spool->remote),
                                 .commit = lort_remote_commit(spool->remote),
                                 .place = lort_os_dir_path(spool->dir),
                                 .fetched = counts.body_bytes,
                                 .requests = counts.requests,
                                 .spool_most = spool->written * LORT_SPOOL_PAGE,
                                 .spool_plan = spool->plan,
                                 .unproved = count_unproved(spool)};
    lort_os_unlock_mutex(spool->mutex);
}

static void close_spool(void *ctx)
{
    lort_spool *spool = ctx;
    lort_spool_end_threads(spool);
    for (uint32_t i = 0; i < spool->file_count; i++)
        lort_give(spool->alloc, spool->files[i].units,
                  spool->files[i].unit_count * sizeof(lort_spool_unit));
    lort_give(spool->alloc, spool->free_slots, spool->slot_room * sizeof(uint32_t));
    lort_give(spool->alloc, spool->slots, spool->slot_room * sizeof *spool->slots);
    lort_give(spool->alloc, spool->buffer, LORT_SPOOL_PROOF);
    if (spool->changed)
        lort_os_cond_close(spool->changed);
    if (spool->mutex)
        lort_os_mutex_close(spool->mutex);
    lort_os_close(spool->file, NULL);
    lort_os_dir_close(spool->dir);
    lort_remote_close(spool->remote);
    lort_arena_free(&spool->arena);
    lort_give(spool->alloc, spool, sizeof *spool);
}

static const lort_model_supply supply = {.find = find,
                                         .read = read_bytes,
                                         .load = load,
                                         .ahead = ask,
                                         .release = release,
                                         .prove = prove,
                                         .proved = proved,
                                         .begin = begin,
                                         .tell = tell,
                                         .close = close_spool};

/* ---- warnings ---- */

/* Others may not call the observer of a command: warnings of other threads wait for this one. */
static void say_held(lort_spool *spool)
{
    char text[sizeof spool->warnings[0]];
    for (;;) {
        lort_os_lock_mutex(spool->mutex);
        const bool any = spool->warning_count > 0;
        if (any)
            memcpy(text, spool->warnings[--spool->warning_count], sizeof text);
        lort_os_unlock_mutex(spool->mutex);
        if (!any)
            return;
        if (spool->warn)
            spool->warn(spool->warn_ctx, text);
    }
}

static void hear_warning(void *ctx, const char *text)
{
    lort_spool *spool = ctx;
    lort_os_lock_mutex(spool->mutex);
    if (spool->warning_count < LORT_SPOOL_WARNINGS)
        snprintf(spool->warnings[spool->warning_count++], sizeof spool->warnings[0], "%s", text);
    lort_os_unlock_mutex(spool->mutex);
    if (spool->thread == &this_thread)
        say_held(spool);
}

/* ---- opening ---- */

static lort_code open_place(lort_spool *spool, const lort_spool_options *options, lort_error *err)
{
    const char *temporary = getenv("TMPDIR"), *name;
    const char *dir = options->dir ? options->dir : temporary && *temporary ? temporary : NULL;
    lort_code code = dir               ? lort_os_dir_open(dir, &spool->dir, err)
                     : options->beside ? lort_os_dir_of(options->beside, &spool->dir, &name, err)
                                       : lort_os_dir_open(".", &spool->dir, err);
    if (code == LORT_OK)
        code = lort_spool_open_file(spool, err);
    if (code)
        lort_error_prefix(err, "the spool");
    return code;
}

static lort_code open_spool(const lort_source *source, const lort_spool_options *options,
                            const lort_alloc *alloc, lort_warn_fn *warn, void *warn_ctx,
                            lort_spool *spool, lort_error *err)
{
    const lort_remote_options how = {.connections = LORT_SPOOL_THREADS + 1,
                                     .stop = options->stop,
                                     .stop_ctx = options->stop_ctx,
                                     .warn = hear_warning,
                                     .warn_ctx = spool};
    *spool = (lort_spool){.alloc = alloc,
                          .arena.alloc = alloc,
                          .keep = options->keep,
                          .warn = warn,
                          .warn_ctx = warn_ctx,
                          .thread = &this_thread,
                          .pages_ahead = AHEAD_FIRST / LORT_SPOOL_PAGE};
    spool->source = (lort_model_source){list, size_of, read_start, spool, &supply};
    lort_code code = lort_os_mutex_open(&spool->mutex, err);
    if (code == LORT_OK)
        code = lort_os_cond_open(&spool->changed, err);
    if (code == LORT_OK)
        code = open_place(spool, options, err);
    return code ? code : lort_remote_open(source, &how, alloc, &spool->remote, err);
}

/* What the model is within its repository: a file of a folder, a folder, or all. */
static lort_code place_model(lort_spool *spool, const lort_source *source, const char **name,
                             lort_error *err)
{
    const char *path =
        source->kind == LORT_SOURCE_URL ? lort_remote_get(spool->remote, 0)->name : source->file;
    bool is_file = false;
    *name = NULL;
    for (uint32_t i = 0; path && i < lort_remote_count(spool->remote); i++)
        is_file = is_file || strcmp(lort_remote_get(spool->remote, i)->name, path) == 0;
    if (!path || !is_file)
        return lort_spool_list(spool, path ? path : "", err);
    const char *folder;
    lort_code code = lort_arena_text(&spool->arena, path, lort_path_folder(path), &folder, err);
    *name = lort_path_base(path);
    return code ? code : lort_spool_list(spool, folder, err);
}

lort_code lort_spool_model(const lort_source *source, const lort_spool_options *options,
                           const lort_model_options *files, const lort_alloc *alloc,
                           lort_warn_fn *warn, void *warn_ctx, lort_model **out, lort_error *err)
{
    void *memory;
    const char *name = NULL;
    *out = NULL;
    lort_code code = lort_take_zero(alloc, sizeof(lort_spool), "a spool", &memory, err);
    if (code)
        return code;
    lort_spool *spool = memory;
    code = open_spool(source, options, alloc, warn, warn_ctx, spool, err);
    if (code == LORT_OK)
        code = place_model(spool, source, &name, err);
    if (code == LORT_OK && spool->file_count == 0)
        code = lort_fail(err, LORT_E_INPUT, "%s: there is no such file",
                         lort_remote_label(spool->remote));
    if (code) {
        close_spool(spool);
        return code;
    }
    return lort_model_open_supplied(&spool->source, name, lort_remote_label(spool->remote), files,
                                    alloc, warn, warn_ctx, out, err);
}
