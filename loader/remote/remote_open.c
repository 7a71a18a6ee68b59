/* remote_open: opens a model on the network: checks names and addresses, finds the token, asks for
 * the list of files. */
#include "loader/remote/remote_parts.h"
#include <stdio.h>
#include <string.h>

#define MOST_CONNECTIONS 64u

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
