/* ask: one request with its redirects, and what happens between two tries.
 *
 * Redirects are followed by hand: libcurl would not say which host gets the token. The token goes
 * to the origin of the endpoint alone. Once a redirect has left that origin, the rest of the chain
 * does not get it either. */
#include "formats/base/text.h"
#include "loader/remote/remote_parts.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MOST_REDIRECTS 5
#define MOST_TRIES 10u
#define QUIET_TRIES 3u  /* no warning before */
#define MOST_WAIT_S 60u /* of a random wait */
#define MOST_SWALLOWED                                                                             \
    (UINT64_C(64) << 10) /* of the text of an error, so that the connection stays */

typedef struct filter {
    const lort_ask *ask;
    uint64_t swallowed;
} filter;

static bool on_body(void *ctx, const lort_head *head, const void *bytes, uint64_t n)
{
    filter *f = ctx;
    if (head->status >= 200 && head->status < 300)
        return f->ask->take && f->ask->take(f->ask->ctx, head, bytes, n);
    f->swallowed += n;
    return f->swallowed <= MOST_SWALLOWED;
}

/* https, or a host whose traffic no network sees. */
static bool may_have_token(const lort_remote *remote, const char *url)
{
    lort_url to;
    return remote->is_hub && remote->token[0] && !lort_url_parse(url, &to, NULL) &&
           lort_url_same_origin(&remote->origin, &to) && (to.https || lort_url_is_loopback(&to));
}

static void send_one(lort_remote *remote, lort_remote_slot *slot, const lort_ask *ask, bool token)
{
    filter f = {.ask = ask};
    const lort_http_request request = {.url = slot->url,
                                       .head = ask->head,
                                       .ranged = ask->ranged,
                                       .first = ask->first,
                                       .last = ask->last,
                                       .if_match = ask->if_match,
                                       .token = token ? remote->token : NULL};
    lort_http_ask(slot->http, &request, on_body, &f, &slot->reply);
    lort_os_lock_mutex(remote->lock);
    remote->counts.requests++;
    remote->counts.body_bytes += slot->reply.body_bytes;
    lort_os_unlock_mutex(remote->lock);
}

static bool is_linked(const lort_head *head)
{
    return head->has_linked_size || head->linked_etag[0];
}

lort_code lort_remote_ask(lort_remote *remote, lort_remote_slot *slot, const lort_ask *ask,
                          lort_error *err)
{
    bool token = ask->with_token;
    for (int hop = 0;; hop++) {
        char shown[LORT_URL_SHOWN];
        lort_http_reply *reply = &slot->reply;
        token = token && may_have_token(remote, slot->url);
        send_one(remote, slot, ask, token);
        if (reply->end > LORT_HTTP_ENOUGH || !lort_head_is_redirect(&reply->head))
            return LORT_OK;
        const lort_code code = lort_url_join(slot->url, reply->head.location, slot->next, err);
        if (code)
            return lort_error_prefix(err, "%s", lort_url_mask(slot->url, shown));
        if (ask->stop_at_link && is_linked(&reply->head))
            return LORT_OK;
        if (hop == MOST_REDIRECTS) {
            reply->end = LORT_HTTP_BROKEN;
            snprintf(reply->reason, sizeof reply->reason, "more than %d redirects", MOST_REDIRECTS);
            return LORT_OK;
        }
        memcpy(slot->url, slot->next, strlen(slot->next) + 1);
    }
}

/* ---- verdicts ---- */

lort_verdict lort_remote_judge(const lort_http_reply *reply)
{
    const lort_head *head = &reply->head;
    if (reply->end == LORT_HTTP_REFUSED)
        return LORT_VERDICT_END;
    if (reply->end == LORT_HTTP_BROKEN || reply->end == LORT_HTTP_STOPPED)
        return LORT_VERDICT_AGAIN;
    if (lort_head_is_busy(head) || head->faulty)
        return LORT_VERDICT_AGAIN;
    if (head->status >= 200 && head->status < 300)
        return head->html || head->encoded ? LORT_VERDICT_AGAIN : LORT_VERDICT_FINE;
    switch (head->status) {
    case 400:
    case 401:
    case 403:
    case 404:
    case 410:
    case 416:
        return LORT_VERDICT_OLD;
    default:
        return LORT_VERDICT_END;
    }
}

/* Why a try failed, in a few words. */
static const char *reason_of(const lort_http_reply *reply, char *out, size_t cap)
{
    const lort_head *head = &reply->head;
    if (reply->end == LORT_HTTP_BROKEN || reply->end == LORT_HTTP_REFUSED)
        snprintf(out, cap, "%s", reply->reason);
    else if (head->html && head->status == 200)
        snprintf(out, cap, "a web page came, as from a login page of the network");
    else if (head->status >= 300)
        snprintf(out, cap, "the server says status %" PRIu32, head->status);
    else
        snprintf(out, cap, "the server sent other bytes than LoRT asked for");
    return out;
}

lort_code lort_remote_refuse(const lort_remote *remote, const lort_http_reply *reply,
                             const char *what, lort_error *err)
{
    const lort_head *head = &reply->head;
    char reason[LORT_HTTP_REASON];
    if (reply->end == LORT_HTTP_REFUSED)
        return lort_fail(err, LORT_E_READ,
                         "%s: no safe connection: %s; name the certificates of your network by "
                         "SSL_CERT_FILE",
                         what, reply->reason);
    if (head->error_message[0])
        snprintf(reason, sizeof reason, "%.200s (status %" PRIu32 ")", head->error_message,
                 head->status);
    else
        reason_of(reply, reason, sizeof reason);
    if (!remote->is_hub)
        return lort_fail(err, LORT_E_INPUT,
                         "%s: the server does not give it: %s; look at the address", what, reason);
    if (strcmp(head->error_code, "GatedRepo") == 0)
        return lort_fail(err, LORT_E_INPUT, "%s: %s; ask for access at %s/%s, and set HF_TOKEN",
                         what, reason, remote->endpoint, remote->repository);
    if (head->status == 401 || head->status == 403)
        return lort_fail(err, LORT_E_INPUT,
                         "%s: %s; look at the name; for a private or gated model set HF_TOKEN "
                         "(%s/%s)",
                         what, reason, remote->endpoint, remote->repository);
    return lort_fail(err, LORT_E_INPUT, "%s: %s; look at the name and the revision (%s/%s)", what,
                     reason, remote->endpoint, remote->repository);
}

/* ---- waits ---- */

/* 0 to `most`, evenly. xorshift64: it need not be good, and two runs must differ. */
static uint64_t draw(lort_remote *remote, uint64_t most)
{
    lort_os_lock_mutex(remote->lock);
    uint64_t x = remote->random;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    remote->random = x;
    lort_os_unlock_mutex(remote->lock);
    return x % (most + 1);
}

static lort_code wait_for(lort_remote *remote, uint64_t ms, lort_error *err)
{
    const uint64_t end = lort_os_clock_ns() + ms * 1000000u;
    for (;;) {
        const uint64_t now = lort_os_clock_ns();
        if (lort_remote_is_stopped(remote))
            return lort_remote_stop(remote, err);
        if (now >= end)
            return LORT_OK;
        const uint64_t left = (end - now) / 1000000u + 1;
        lort_os_lock_mutex(remote->lock);
        lort_os_wait_ms(remote->changed, remote->lock,
                        left < LORT_STEP_MS ? (uint32_t)left : LORT_STEP_MS);
        lort_os_unlock_mutex(remote->lock);
    }
}

static lort_code give_up(const lort_http_reply *reply, const char *what, const char *reason,
                         lort_error *err)
{
    const uint32_t status = reply->head.status;
    if (reply->end <= LORT_HTTP_ENOUGH && status >= 400 && !lort_head_is_busy(&reply->head))
        return lort_fail(err, LORT_E_INPUT, "%s: %s, %u times in a row", what, reason, MOST_TRIES);
    return lort_fail(
        err, LORT_E_STOPPED,
        "%s: the network is away: %u tries in a row brought no new byte (the last: %s); "
        "start the same command again when it is back",
        what, MOST_TRIES, reason);
}

lort_code lort_remote_again(lort_remote *remote, lort_tries *tries, const lort_http_reply *reply,
                            const char *what, lort_error *err)
{
    char reason[LORT_HTTP_REASON];
    if (reply->end == LORT_HTTP_STOPPED || lort_remote_is_stopped(remote))
        return lort_remote_stop(remote, err);
    reason_of(reply, reason, sizeof reason);
    const uint32_t k = tries->count++;
    if (tries->count == MOST_TRIES)
        return give_up(reply, what, reason, err);
    lort_remote_count_up(remote, &remote->counts.retries, 1);
    const uint32_t asked = lort_head_wait(&reply->head, lort_os_time_ns() / 1000000000);
    const uint64_t unit = remote->options.wait_unit_ms ? remote->options.wait_unit_ms : 1000;
    const uint64_t most = k < 6 ? UINT64_C(1) << k : MOST_WAIT_S;
    /* all clients that were told the same second must not come back in it */
    const uint64_t ms = asked * UINT64_C(1000) + draw(remote, asked ? unit : most * unit);
    if (tries->count >= QUIET_TRIES || asked >= 10)
        lort_remote_warn(remote, "%s: %s; try %" PRIu32 " of %u follows in %" PRIu64 " s", what,
                         reason, tries->count + 1, MOST_TRIES, (ms + 500) / 1000);
    return wait_for(remote, ms, err);
}
