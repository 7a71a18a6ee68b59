/* fetch: ranges of files. Each reply is checked before its first byte goes on: status, first byte,
 * size of the file. A reply that breaks is gone on with at the byte where it broke, so that no byte
 * is fetched twice. */
#include "loader/remote/remote_parts.h"
#include <inttypes.h>
#include <string.h>

#define SMALL (UINT64_C(1) << 20) /* of such a file a 200 for a range is taken, and cut */

typedef struct fetch {
    lort_remote *remote;
    lort_remote_slot *slot;
    const lort_remote_file *is;
    uint32_t file;
    uint64_t at, end; /* of the file: the next byte, and where the range ends */
    uint64_t skip;    /* bytes of this reply in front of `at` */
    bool checked, fine, direct;
    lort_remote_take *take;
    void *ctx;
    lort_code code; /* of take, and of the comparison */
    lort_error *err;
} fetch;

/* ---- one reply ---- */

/* 206 with the bytes that were asked for, or fewer of them. */
static bool is_part(const fetch *f, const lort_head *head)
{
    return head->status == 206 && head->has_range && head->first == f->at && head->last < f->end &&
           (!head->has_total || head->total == f->is->size) &&
           (!head->has_length || head->length == head->last - head->first + 1);
}

/* 200 with the whole file, where that costs little or nothing. */
static bool is_whole(const fetch *f, const lort_head *head)
{
    const bool free = f->at == 0 && f->end == f->is->size;
    return head->status == 200 && (free || f->is->size <= SMALL) &&
           (!head->has_length || head->length == f->is->size);
}

/* Of the content network only SHA-256 judges; its ETags are its own affair. */
static lort_code compare(fetch *f, const lort_head *head)
{
    if (f->remote->is_hub && !f->direct)
        return LORT_OK;
    return lort_remote_compare(f->remote, f->file, head, f->err);
}

static void check(fetch *f, const lort_head *head)
{
    f->checked = true;
    f->fine = !head->faulty && !head->html && !head->encoded;
    if (f->fine)
        f->code = compare(f, head);
    f->fine = f->fine && !f->code && (is_part(f, head) || is_whole(f, head));
    f->skip = head->status == 200 ? f->at : 0;
}

static bool on_bytes(void *ctx, const lort_head *head, const void *bytes, uint64_t n)
{
    fetch *f = ctx;
    const uint8_t *from = bytes;
    if (!f->checked)
        check(f, head);
    if (!f->fine)
        return false;
    const uint64_t skipped = n < f->skip ? n : f->skip;
    f->skip -= skipped;
    n -= skipped;
    const uint64_t wanted = f->end - f->at, used = n < wanted ? n : wanted;
    if (used)
        f->code = f->take(f->ctx, from + skipped, used, f->err);
    if (f->code)
        return false;
    f->at += used;
    return used == n;
}

static lort_code send(fetch *f)
{
    lort_remote_slot *slot = f->slot;
    const lort_remote *remote = f->remote;
    const bool match = !remote->is_hub && !remote->weak_etag && f->is->etag[0];
    const lort_ask ask = {.ranged = true,
                          .first = f->at,
                          .last = f->end - 1,
                          .with_token = f->direct,
                          .stop_at_link = f->direct,
                          .if_match = match ? f->is->etag : NULL,
                          .take = on_bytes,
                          .ctx = f};
    f->checked = f->fine = false;
    strcpy(slot->url, slot->content);
    return lort_remote_ask(f->remote, slot, &ask, f->err);
}

/* ---- tries ---- */

static lort_code fail_status(const fetch *f)
{
    char name[LORT_REMOTE_NAME];
    lort_remote_name(f->remote, f->file, name);
    if (f->slot->reply.head.status == 412)
        return lort_fail(f->err, LORT_E_READ,
                         "%s: the file on the server has changed (status 412); begin again with "
                         "another output",
                         name);
    return lort_remote_refuse(f->remote, &f->slot->reply, name, f->err);
}

/* The first address that does not serve any more is no failure: it is as old as an hour. */
static lort_code try_again(fetch *f, lort_tries *tries, uint32_t turn, bool *was_old)
{
    char name[LORT_REMOTE_NAME];
    const lort_http_reply *reply = &f->slot->reply;
    const lort_verdict verdict = lort_remote_judge(reply);
    const bool moved = lort_head_is_redirect(&reply->head); /* it has a content network now */
    if (verdict == LORT_VERDICT_END && !moved)
        return fail_status(f);
    if (reply->end <= LORT_HTTP_ENOUGH && !lort_head_is_busy(&reply->head) && !reply->head.html &&
        !f->fine) {
        lort_remote_forget(f->remote, f->file, turn);
        if ((verdict == LORT_VERDICT_OLD || moved) && !*was_old) {
            *was_old = true;
            return LORT_OK;
        }
    }
    lort_remote_name(f->remote, f->file, name);
    return lort_remote_again(f->remote, tries, reply, name, f->err);
}

static lort_code run(fetch *f)
{
    lort_tries tries = {0};
    bool was_old = false;
    while (f->at < f->end) {
        const uint64_t before = f->at;
        uint32_t turn;
        lort_code code = lort_remote_place(f->remote, f->slot, f->file, &f->direct, &turn, f->err);
        if (!code)
            code = send(f);
        if (!code)
            code = f->code;
        if (code)
            return code;
        if (f->at > before) {
            tries = (lort_tries){0};
            was_old = false;
        }
        if (f->at < f->end)
            code = try_again(f, &tries, turn, &was_old);
        if (code)
            return code;
    }
    return LORT_OK;
}

lort_code lort_remote_fetch(lort_remote *remote, uint32_t file, uint64_t offset, uint64_t n,
                            lort_remote_take *take, void *ctx, lort_error *err)
{
    fetch f = {.remote = remote, .file = file, .at = offset, .take = take, .ctx = ctx, .err = err};
    if (file >= remote->file_count || offset > remote->files[file].size ||
        n > remote->files[file].size - offset)
        return lort_fail(err, LORT_E_INTERNAL, "%s: a range beyond the end of a file",
                         remote->label);
    f.is = &remote->files[file];
    f.end = offset + n;
    lort_code code = lort_remote_enter(remote, &f.slot, err);
    if (code)
        return code;
    code = run(&f);
    lort_remote_leave(remote, f.slot);
    return code;
}
