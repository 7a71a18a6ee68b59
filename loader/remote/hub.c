/* hub: the Hub's API. One request gives the commit, others list the files page by page. Every later
 * request names the commit. */
#include "loader/remote/remote_parts.h"
#include <stdio.h>
#include <string.h>

#define MOST_PAGE (UINT64_C(64) << 20) /* bytes of one answer; 1,000 entries have 300 KB */
#define MOST_PAGES (LORT_HUB_FILES_MOST / 10)

typedef struct text {
    lort_buffer buffer;
    bool too_long;
} text;

static bool on_text(void *ctx, const lort_head *head, const void *bytes, uint64_t n)
{
    text *t = ctx;
    t->too_long = t->buffer.size + n > MOST_PAGE;
    if (t->too_long || head->html)
        return false;
    lort_put_bytes(&t->buffer, bytes, n);
    return t->buffer.error.code == LORT_OK;
}

/* True if libcurl had no reason to notice that the answer is cut. */
static bool is_whole(const lort_http_reply *reply, const text *t)
{
    return reply->end == LORT_HTTP_DONE && reply->head.status == 200 &&
           (!reply->head.has_length || reply->head.length == t->buffer.size);
}

/* A refusal without the Hub's own words comes from something in between: tried again. */
static bool is_from_hub(const lort_head *head)
{
    return head->status != 403 || head->error_code[0] || head->error_message[0];
}

/* Asks for slot->url until the answer is whole. */
static lort_code get_text(lort_remote *remote, lort_remote_slot *slot, const char *url, text *t,
                          lort_error *err)
{
    lort_tries tries = {0};
    for (;;) {
        const lort_ask ask = {.with_token = true, .take = on_text, .ctx = t};
        t->buffer.size = 0;
        snprintf(slot->url, sizeof slot->url, "%s", url);
        lort_code code = lort_remote_ask(remote, slot, &ask, err);
        if (!code)
            code = lort_buffer_check(&t->buffer, err);
        if (code)
            return code;
        const lort_verdict verdict = lort_remote_judge(&slot->reply);
        if (t->too_long)
            return lort_fail(err, LORT_E_READ,
                             "%s: an answer of the server is too long (more than "
                             "64 MiB)",
                             remote->label);
        if (verdict == LORT_VERDICT_FINE && is_whole(&slot->reply, t))
            return LORT_OK;
        if (verdict == LORT_VERDICT_END ||
            (verdict == LORT_VERDICT_OLD && is_from_hub(&slot->reply.head)))
            return lort_remote_refuse(remote, &slot->reply, remote->label, err);
        code = lort_remote_again(remote, &tries, &slot->reply, remote->label, err);
        if (code)
            return code;
    }
}

/* Writes ENDPOINT + before + REPOSITORY + between + rest, with rest quoted. */
static lort_code write_address(const lort_remote *remote, const char *before, const char *between,
                               const char *rest, bool keep_slash, char *out, lort_error *err)
{
    const int n = snprintf(out, LORT_URL_MAX, "%s%s%s%s", remote->endpoint, before,
                           remote->repository, between);
    uint64_t at = n < 0 ? LORT_URL_MAX : (uint64_t)n;
    if (at < LORT_URL_MAX && lort_url_quote(out, LORT_URL_MAX, &at, rest, keep_slash))
        return LORT_OK;
    return lort_fail(err, LORT_E_USAGE, "%s: the name is too long for an address", remote->label);
}

lort_code lort_hub_address(const lort_remote *remote, const char *name, char *out, lort_error *err)
{
    char between[LORT_COMMIT_DIGITS + 16];
    snprintf(between, sizeof between, "/resolve/%s/", remote->commit);
    return write_address(remote, "/", between, name, true, out, err);
}

static lort_code find_commit(lort_remote *remote, lort_remote_slot *slot, text *t, lort_error *err)
{
    lort_code code = write_address(remote, "/api/models/", "/revision/", remote->revision, false,
                                   slot->content, err);
    if (!code)
        code = get_text(remote, slot, slot->content, t, err);
    if (!code) {
        code = lort_hub_list_commit(t->buffer.data, t->buffer.size, remote->commit, err);
        if (code)
            return lort_error_prefix(err, "%s", remote->label);
        snprintf(remote->label, sizeof remote->label, "hf://%s@%s", remote->repository,
                 remote->commit);
    }
    return code;
}

/* The next page must be of the same server: the token goes there. */
static lort_code find_next(const lort_remote *remote, lort_remote_slot *slot, lort_error *err)
{
    lort_url to;
    lort_code code = lort_url_join(slot->url, slot->reply.head.next, slot->content, err);
    if (!code)
        code = lort_url_parse(slot->content, &to, err);
    if (code)
        return lort_error_prefix(err, "%s: next page of the list", remote->label);
    if (lort_url_same_origin(&to, &remote->origin))
        return LORT_OK;
    return lort_fail(err, LORT_E_READ, "%s: the next page of the list is on another server",
                     remote->label);
}

static lort_code list_files(lort_remote *remote, lort_remote_slot *slot, text *t, lort_error *err)
{
    const lort_head *head = &slot->reply.head;
    lort_code code =
        write_address(remote, "/api/models/", "/tree/", remote->commit, false, slot->content, err);
    if (!code && strlen(slot->content) + 40 < LORT_URL_MAX)
        strcat(slot->content, "?recursive=True&expand=False");
    for (uint32_t page = 0; !code; page++) {
        if (page == MOST_PAGES)
            return lort_fail(err, LORT_E_READ, "%s: the list has more than %u pages", remote->label,
                             MOST_PAGES);
        code = get_text(remote, slot, slot->content, t, err);
        if (code)
            break;
        code = lort_hub_list_add(&remote->listing, t->buffer.data, t->buffer.size, err);
        if (code)
            return lort_error_prefix(err, "%s", remote->label);
        if (!head->next[0])
            break;
        code = find_next(remote, slot, err);
    }
    if (!code && lort_hub_list_sort(&remote->listing, err))
        return lort_error_prefix(err, "%s", remote->label);
    return code;
}

lort_code lort_hub_open(lort_remote *remote, lort_remote_slot *slot, lort_error *err)
{
    text t = {.buffer.alloc = remote->alloc};
    remote->listing.arena.alloc = remote->alloc;
    lort_code code = find_commit(remote, slot, &t, err);
    if (!code)
        code = list_files(remote, slot, &t, err);
    lort_buffer_free(&t.buffer);
    if (code)
        return code;
    remote->files = remote->listing.files;
    remote->file_count = remote->listing.count;
    if (remote->listing.odd)
        lort_remote_warn(remote,
                         "%s: %u files have names that not every system allows; they are "
                         "left out",
                         remote->label, remote->listing.odd);
    return LORT_OK;
}
