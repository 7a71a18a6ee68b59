/* remote: what all files of remote use: slots, stops, warnings, counts; and closing. A slot is one
 * connection with its buffers; the one that was used last goes out first, since it is still
 * connected. */
#include "formats/base/text.h"
#include "loader/remote/remote_parts.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define CONNECT_MS 20000u
#define QUIET_S 30u

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
        lort_os_wait_ms(remote->changed, remote->lock, LORT_STEP_MS);
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

/* ---- closing ---- */

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
