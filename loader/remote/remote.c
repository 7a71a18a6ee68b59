/* remote: opens and closes a model on the network, and hands out slots. A slot is one connection
 * with its buffers; the one that was used last goes out first, since it is still connected. */
#include "formats/base/text.h"
#include "loader/remote/remote_parts.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_CONNECTIONS 64u
#define CONNECT_MS 20000u
#define QUIET_S 30u
#define STEP_MS 100u /* a stop is looked for so often */

bool lort_remote_built(void) { return lort_http_built(); }

bool lort_remote_is_stopped(const lort_remote *remote)
{
    return remote->options.stop && remote->options.stop(remote->options.stop_ctx);
}

lort_code lort_remote_stop(const lort_remote *remote, lort_error *err)
{
    return lort_fail(err, LORT_E_STOPPED, "%s: stopped while LoRT fetched it", remote->label);
}

void lort_remote_warn(const lort_remote *remote, const char *format, ...)
{
    char text[1024], shown[1024];
    va_list args;
    if (!remote->options.warn)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    remote->options.warn(remote->options.warn_ctx,
                         lort_printable(shown, sizeof shown, text, strlen(text)));
}

void lort_remote_count_up(lort_remote *remote, uint64_t *counter, uint64_t n)
{
    lort_os_lock_mutex(remote->lock);
    *counter += n;
    lort_os_unlock_mutex(remote->lock);
}

/* ---- slots ---- */

static lort_remote_slot *find_free(lort_remote *remote)
{
    for (unsigned i = 0; i < remote->options.connections; i++)
        if (!remote->slots[i].busy)
            return &remote->slots[i];
    return NULL;
}

lort_code lort_remote_enter(lort_remote *remote, lort_remote_slot **out, lort_error *err)
{
    bool stopped = lort_remote_is_stopped(remote);
    lort_os_lock_mutex(remote->lock);
    lort_remote_slot *slot = find_free(remote);
    while (!slot && !stopped) {
        lort_os_wait_ms(remote->changed, remote->lock, STEP_MS);
        stopped = lort_remote_is_stopped(remote);
        slot = find_free(remote);
    }
    if (slot && !stopped)
        slot->busy = true;
    lort_os_unlock_mutex(remote->lock);
    *out = stopped ? NULL : slot;
    if (stopped)
        return lort_remote_stop(remote, err);
    if (slot->http)
        return LORT_OK;
    const lort_http_options options = {.connect_ms = CONNECT_MS,
                                       .quiet_s = remote->options.quiet_s ? remote->options.quiet_s
                                                                          : QUIET_S,
                                       .stop = remote->options.stop,
                                       .stop_ctx = remote->options.stop_ctx};
    const lort_code code = lort_http_open(&options, remote->alloc, &slot->http, err);
    if (code) {
        lort_remote_leave(remote, slot);
        *out = NULL;
    }
    return code;
}

void lort_remote_leave(lort_remote *remote, lort_remote_slot *slot)
{
    lort_os_lock_mutex(remote->lock);
    slot->busy = false;
    lort_os_wake_all(remote->changed);
    lort_os_unlock_mutex(remote->lock);
}

/* ---- opening ---- */

static lort_code copy_text(lort_remote *remote, const char *text, char **out, lort_error *err)
{
    void *memory;
    const size_t bytes = strlen(text) + 1;
    const lort_code code = lort_arena_take(&remote->arena, bytes, &memory, err);
    if (!code)
        *out = memcpy(memory, text, bytes);
    return code;
}

static lort_code check_origin(lort_remote *remote, const char *address, lort_error *err)
{
    char shown[LORT_URL_SHOWN];
    const lort_code code = lort_url_parse(address, &remote->origin, err);
    if (code)
        return lort_error_prefix(err, "%s", lort_url_mask(address, shown));
    if (!remote->origin.https && !lort_url_is_loopback(&remote->origin))
        return lort_fail(err, LORT_E_USAGE, "%s: http is allowed for this machine only; use https",
                         lort_url_mask(address, shown));
    return LORT_OK;
}

static lort_code start_hub(lort_remote *remote, const lort_source *source, lort_error *err)
{
    remote->is_hub = true;
    snprintf(remote->label, sizeof remote->label, "hf://%s@%s", source->repository,
             source->revision);
    lort_code code = check_origin(remote, source->endpoint, err);
    if (!code)
        code = copy_text(remote, source->endpoint, &remote->endpoint, err);
    if (!code)
        code = copy_text(remote, source->repository, &remote->repository, err);
    if (!code)
        code = copy_text(remote, source->revision, &remote->revision, err);
    return code ? code : lort_token_find(remote->token, err);
}

/* The name of the file is the last part of the path. */
static lort_code start_url(lort_remote *remote, const lort_source *source, lort_error *err)
{
    lort_url_mask(source->url, remote->label);
    remote->label[strcspn(remote->label, "?")] = 0;
    lort_code code = check_origin(remote, source->url, err);
    if (!code)
        code = copy_text(remote, source->url, &remote->url, err);
    if (code)
        return code;
    const char *path = remote->url + remote->origin.path, *name = path;
    const size_t end = strcspn(path, "?#");
    for (size_t i = 0; i < end; i++)
        if (path[i] == '/')
            name = path + i + 1;
    const size_t n = (size_t)(path + end - name);
    if (n == 0)
        return lort_fail(err, LORT_E_USAGE, "%s: the address names no file", remote->label);
    remote->url[strcspn(remote->url, "#")] = 0;
    remote->files = &remote->one;
    remote->file_count = 1;
    return lort_arena_text(&remote->arena, name, n, &remote->one.name, err);
}

static lort_code take_slots(lort_remote *remote, lort_error *err)
{
    void *memory;
    const uint64_t bytes = remote->options.connections * sizeof *remote->slots;
    lort_code code = lort_take_zero(remote->alloc, bytes, "connections", &memory, err);
    if (code)
        return code;
    remote->slots = memory;
    code = lort_os_mutex_open(&remote->lock, err);
    return code ? code : lort_os_cond_open(&remote->changed, err);
}

static lort_code take_places(lort_remote *remote, lort_error *err)
{
    void *memory;
    const lort_code code =
        lort_arena_take(&remote->arena, remote->file_count * sizeof *remote->places, &memory, err);
    remote->places = code ? NULL : memory;
    return code;
}

static lort_code open_model(lort_remote *remote, const lort_source *source, lort_error *err)
{
    lort_remote_slot *slot;
    const bool is_hub = source->kind == LORT_SOURCE_HUB;
    lort_code code = is_hub ? start_hub(remote, source, err) : start_url(remote, source, err);
    if (!code)
        code = take_slots(remote, err);
    if (!code)
        code = lort_remote_enter(remote, &slot, err);
    if (code)
        return code;
    if (is_hub)
        code = lort_hub_open(remote, slot, err);
    if (!code)
        code = take_places(remote, err);
    if (!code && !is_hub)
        code = lort_remote_learn(remote, slot, err);
    lort_remote_leave(remote, slot);
    return code;
}

lort_code lort_remote_open(const lort_source *source, const lort_remote_options *options,
                           const lort_alloc *alloc, lort_remote **out, lort_error *err)
{
    void *memory;
    *out = NULL;
    if (source->kind != LORT_SOURCE_HUB && source->kind != LORT_SOURCE_URL)
        return lort_fail(err, LORT_E_INTERNAL, "a path is no model on the network");
    lort_code code =
        lort_take_zero(alloc, sizeof(lort_remote), "a model on the network", &memory, err);
    if (code)
        return code;
    lort_remote *remote = memory;
    remote->alloc = remote->arena.alloc = remote->listing.arena.alloc = alloc;
    remote->options = *options;
    const unsigned asked = options->connections ? options->connections : LORT_REMOTE_CONNECTIONS;
    remote->options.connections = asked < MOST_CONNECTIONS ? asked : MOST_CONNECTIONS;
    remote->random = lort_os_clock_ns() ^ (uint64_t)lort_os_process_id() << 32 ^ 1;
    if (!remote->random)
        remote->random = 1;
    code = open_model(remote, source, err);
    if (code)
        lort_remote_close(remote);
    else
        *out = remote;
    return code;
}

void lort_remote_close(lort_remote *remote)
{
    if (!remote)
        return;
    const lort_alloc *alloc = remote->alloc;
    for (uint32_t i = 0; remote->places && i < remote->file_count; i++) {
        lort_give(alloc, remote->places[i].url, remote->places[i].url_bytes);
        lort_give(alloc, remote->places[i].failure, sizeof *remote->places[i].failure);
    }
    for (unsigned i = 0; remote->slots && i < remote->options.connections; i++)
        lort_http_close(remote->slots[i].http);
    lort_give(alloc, remote->slots, remote->options.connections * sizeof *remote->slots);
    lort_os_cond_close(remote->changed);
    lort_os_mutex_close(remote->lock);
    lort_hub_list_free(&remote->listing);
    lort_arena_free(&remote->arena);
    memset(remote->token, 0, sizeof remote->token);
    lort_give(alloc, remote, sizeof *remote);
}

/* ---- what is known ---- */

const char *lort_remote_commit(const lort_remote *remote) { return remote->commit; }
const char *lort_remote_label(const lort_remote *remote) { return remote->label; }
uint32_t lort_remote_count(const lort_remote *remote) { return remote->file_count; }

const lort_remote_file *lort_remote_get(const lort_remote *remote, uint32_t file)
{
    return &remote->files[file];
}

void lort_remote_count_all(const lort_remote *remote, lort_remote_counts *out)
{
    lort_os_lock_mutex(remote->lock);
    *out = remote->counts;
    lort_os_unlock_mutex(remote->lock);
}
