/* resolve: where the contents of a file are. The Hub answers with an address that a content network
 * serves for an hour or so. When it ends, one connection asks for a new one, and the others wait.
 *
 * Each answer also says which commit, size and ETag the file has. They are compared every time. */
#include "loader/remote/remote_parts.h"
#include <stdio.h>
#include <string.h>

#define NS UINT64_C(1000000000)

const char *lort_remote_name(const lort_remote *remote, uint32_t file, char *out)
{
    snprintf(out, LORT_REMOTE_NAME, "%s%s%s", remote->label, remote->is_hub ? "/" : "",
             remote->is_hub ? remote->files[file].name : "");
    return out;
}

/* ---- comparing ---- */

static lort_code fail_changed(const lort_remote *remote, uint32_t file, const char *what,
                              const char *found, const char *was, lort_error *err)
{
    char name[LORT_REMOTE_NAME];
    return lort_fail(err, LORT_E_READ,
                     "%s: the file on the server has changed (found %s %s, was %s); begin again "
                     "with another output",
                     lort_remote_name(remote, file, name), what, found, was);
}

static bool is_hex(const char *text)
{
    return text[0] && text[strspn(text, "0123456789abcdef")] == 0;
}

/* A mirror may have ETags of its own. One that looks like a hash of the same kind is compared. */
static bool is_other_hash(const char *etag, const char *known)
{
    return is_hex(etag) && is_hex(known) && strlen(etag) == strlen(known) &&
           strcmp(etag, known) != 0;
}

static lort_code compare_sizes(const lort_remote *remote, uint32_t file, uint64_t found,
                               lort_error *err)
{
    char now[24], was[24];
    if (found == remote->files[file].size)
        return LORT_OK;
    snprintf(now, sizeof now, "%llu", (unsigned long long)found);
    snprintf(was, sizeof was, "%llu", (unsigned long long)remote->files[file].size);
    return fail_changed(remote, file, "size", now, was, err);
}

static lort_code compare_hub(const lort_remote *remote, uint32_t file, const lort_head *head,
                             lort_error *err)
{
    const char *known = remote->files[file].etag;
    if (head->commit[0] && strcmp(head->commit, remote->commit) != 0)
        return fail_changed(remote, file, "commit", head->commit, remote->commit, err);
    if (head->linked_etag[0] && known[0] && strcmp(head->linked_etag, known) != 0)
        return fail_changed(remote, file, "ETag", head->linked_etag, known, err);
    if (!head->linked_etag[0] && head->status < 300 && is_other_hash(head->etag, known))
        return fail_changed(remote, file, "ETag", head->etag, known, err);
    return head->has_linked_size ? compare_sizes(remote, file, head->linked_size, err) : LORT_OK;
}

static const char *identity_of(const lort_head *head)
{
    return head->etag[0] ? head->etag : head->modified;
}

lort_code lort_remote_compare(const lort_remote *remote, uint32_t file, const lort_head *head,
                              lort_error *err)
{
    if (remote->is_hub)
        return compare_hub(remote, file, head, err);
    const char *now = identity_of(head), *was = remote->files[file].etag;
    if (now[0] && was[0] && strcmp(now, was) != 0)
        return fail_changed(remote, file, "ETag", now, was, err);
    return head->has_total ? compare_sizes(remote, file, head->total, err) : LORT_OK;
}

/* ---- one request that resolves ---- */

/* The Hub's answer is a head: a redirect with X-Linked-ETag, or 200 if the Hub itself has the file.
 * An ordinary server is asked for the first byte: 206 shows the size, and that it has ranges. */
static lort_code ask_where(lort_remote *remote, lort_remote_slot *slot, uint32_t file,
                           lort_error *err)
{
    const lort_ask hub = {.head = true, .with_token = true, .stop_at_link = true};
    const lort_ask ordinary = {.ranged = true};
    lort_code code = LORT_OK;
    if (remote->is_hub)
        code = lort_hub_address(remote, remote->files[file].name, slot->url, err);
    else
        snprintf(slot->url, sizeof slot->url, "%s", remote->url);
    lort_remote_count_up(remote, &remote->counts.resolves, 1);
    return code ? code : lort_remote_ask(remote, slot, remote->is_hub ? &hub : &ordinary, err);
}

/* A refusal in the middle of a run may come from something in between. The Hub then has no words
 * of its own, and an ordinary server gave the file before. */
static bool is_final(const lort_remote *remote, const lort_head *head, bool learning)
{
    if (head->status == 404 || head->status == 410)
        return true;
    return remote->is_hub ? head->status != 403 || head->error_code[0] || head->error_message[0]
                          : learning;
}

/* Tries until an answer says where the file is. It is then in slot->reply. */
static lort_code ask_until_told(lort_remote *remote, lort_remote_slot *slot, uint32_t file,
                                const char *name, bool learning, lort_error *err)
{
    lort_tries tries = {0};
    for (;;) {
        lort_code code = ask_where(remote, slot, file, err);
        if (code)
            return code;
        const lort_head *head = &slot->reply.head;
        const bool linked = lort_head_is_redirect(head) && slot->reply.end <= LORT_HTTP_ENOUGH;
        const lort_verdict verdict = linked ? LORT_VERDICT_FINE : lort_remote_judge(&slot->reply);
        if (verdict == LORT_VERDICT_FINE || (learning && head->status == 416) ||
            (learning && head->status == 200 && head->html))
            return LORT_OK;
        if (verdict == LORT_VERDICT_END ||
            (verdict == LORT_VERDICT_OLD && is_final(remote, head, learning)))
            return lort_remote_refuse(remote, &slot->reply, name, err);
        code = lort_remote_again(remote, &tries, &slot->reply, name, err);
        if (code)
            return code;
    }
}

/* Until when the address serves. The server's clock counts, as it made the address: its Date stands
 * beside it. A twentieth of the life, at most 30 s, is left for a request under way. */
static uint64_t end_of_life(const char *url, const lort_head *head)
{
    int64_t until;
    const int64_t now = head->has_date ? head->date : lort_os_time_ns() / (int64_t)NS;
    if (!lort_url_expires(url, &until) || until <= now || until - now > INT64_C(1) << 32)
        return 0;
    const uint64_t life = (uint64_t)(until - now) * NS;
    return lort_os_clock_ns() + life - (life / 20 < 30 * NS ? life / 20 : 30 * NS);
}

/* Puts the address of the contents into slot->content. */
static lort_code resolve(lort_remote *remote, lort_remote_slot *slot, uint32_t file, bool *direct,
                         uint64_t *until, lort_error *err)
{
    char name[LORT_REMOTE_NAME];
    lort_remote_name(remote, file, name);
    lort_code code = ask_until_told(remote, slot, file, name, false, err);
    if (!code)
        code = lort_remote_compare(remote, file, &slot->reply.head, err);
    if (code)
        return code;
    const bool linked = lort_head_is_redirect(&slot->reply.head);
    *direct = !linked;
    snprintf(slot->content, sizeof slot->content, "%s", linked ? slot->next : slot->url);
    *until = end_of_life(slot->content, &slot->reply.head);
    return LORT_OK;
}

/* ---- the place of a file ---- */

static void keep_failure(lort_remote *remote, lort_place *place, lort_code code,
                         const lort_error *why)
{
    void *memory;
    if (!place->failure && !lort_take(remote->alloc, sizeof *why, "a failure", &memory, NULL))
        place->failure = memory;
    if (place->failure) {
        *place->failure = *why;
        place->failure->code = code;
    }
}

static lort_code keep_url(lort_remote *remote, lort_place *place, const char *url, lort_error *err)
{
    void *memory;
    const uint64_t bytes = strlen(url) + 1;
    const lort_code code = lort_take(remote->alloc, bytes, "an address", &memory, err);
    if (code)
        return code;
    lort_give(remote->alloc, place->url, place->url_bytes);
    memcpy(memory, url, bytes);
    place->url = memory;
    place->url_bytes = bytes;
    return LORT_OK;
}

/* Ends a resolve. remote->lock is held. */
static lort_code keep(lort_remote *remote, lort_remote_slot *slot, lort_place *place,
                      lort_code code, uint64_t until, lort_error *err)
{
    if (!code)
        code = keep_url(remote, place, slot->content, err);
    if (code) {
        keep_failure(remote, place, code, err);
    } else {
        lort_give(remote->alloc, place->failure, sizeof *place->failure);
        place->failure = NULL;
        place->until_ns = until;
    }
    place->resolved++;
    place->resolving = false;
    lort_os_wake_all(remote->changed);
    return code;
}

static bool is_known(const lort_place *place)
{
    return place->url && (!place->until_ns || lort_os_clock_ns() < place->until_ns);
}

/* A small file is not asked for: the Hub itself sends it. If the Hub redirects it nevertheless, its
 * address is forgotten, and the next turn asks. remote->lock is held. */
static lort_code guess(lort_remote *remote, lort_remote_slot *slot, uint32_t file, lort_error *err)
{
    lort_place *place = &remote->places[file];
    if (!remote->is_hub || remote->files[file].has_sha256 || place->resolved)
        return LORT_OK;
    lort_code code = lort_hub_address(remote, remote->files[file].name, slot->content, err);
    if (!code)
        code = keep_url(remote, place, slot->content, err);
    place->direct = true;
    place->resolved++;
    return code;
}

/* Waits until the thread that resolves is ready. remote->lock is held. */
static lort_code wait_for_other(lort_remote *remote, lort_place *place, lort_error *err)
{
    while (place->resolving) {
        lort_os_wait_ms(remote->changed, remote->lock, LORT_STEP_MS);
        if (lort_remote_is_stopped(remote))
            return lort_remote_stop(remote, err);
    }
    if (!place->failure)
        return LORT_OK;
    return lort_fail(err, place->failure->code, "%s", place->failure->message);
}

lort_code lort_remote_place(lort_remote *remote, lort_remote_slot *slot, uint32_t file,
                            bool *direct, uint32_t *turn, lort_error *err)
{
    lort_place *place = &remote->places[file];
    lort_error why = {0};
    lort_code code = LORT_OK;
    lort_os_lock_mutex(remote->lock);
    code = guess(remote, slot, file, &why);
    while (!code && !is_known(place)) {
        if (place->resolving) {
            code = wait_for_other(remote, place, &why);
            continue;
        }
        uint64_t until = 0;
        bool is_direct = false;
        place->resolving = true;
        lort_os_unlock_mutex(remote->lock);
        code = resolve(remote, slot, file, &is_direct, &until, &why);
        lort_os_lock_mutex(remote->lock);
        place->direct = is_direct;
        code = keep(remote, slot, place, code, until, &why);
        if (!code)
            break; /* it serves once at least, however short its life */
    }
    if (!code) {
        memcpy(slot->content, place->url, place->url_bytes);
        *direct = place->direct;
        *turn = place->resolved;
    } else if (err) {
        *err = why;
    }
    lort_os_unlock_mutex(remote->lock);
    return code;
}

void lort_remote_forget(lort_remote *remote, uint32_t file, uint32_t turn)
{
    lort_place *place = &remote->places[file];
    lort_os_lock_mutex(remote->lock);
    if (place->resolved == turn && place->url) {
        lort_give(remote->alloc, place->url, place->url_bytes);
        place->url = NULL;
        place->url_bytes = 0;
    }
    lort_os_unlock_mutex(remote->lock);
}

/* ---- the file of a URL ---- */

/* What the first answer must say. */
static lort_code check_ordinary(const lort_remote *remote, const lort_http_reply *reply,
                                lort_error *err)
{
    const lort_head *head = &reply->head;
    if (head->status == 200 && head->html)
        return lort_fail(err, LORT_E_INPUT,
                         "%s: this is a web page, not a file; name the address of the file itself",
                         remote->label);
    if (head->status == 200)
        return lort_fail(err, LORT_E_INPUT,
                         "%s: the server cannot send parts of the file (found status 200, allowed "
                         "206); download the file, and name its path",
                         remote->label);
    if ((head->status == 206 && head->has_range && head->first == 0 && !head->has_total))
        return lort_fail(err, LORT_E_INPUT,
                         "%s: the server does not tell the size of the file; "
                         "download it, and name its path",
                         remote->label);
    if (head->status == 416 || (head->status == 206 && head->total == 0))
        return lort_fail(err, LORT_E_INPUT, "%s: the file on the server is empty", remote->label);
    if (head->status != 206 || !head->has_range || head->first != 0)
        return lort_fail(err, LORT_E_READ, "%s: the server sent other bytes than LoRT asked for",
                         remote->label);
    return LORT_OK;
}

lort_code lort_remote_learn(lort_remote *remote, lort_remote_slot *slot, lort_error *err)
{
    lort_remote_file *file = &remote->one;
    lort_place *place = &remote->places[0];
    const lort_head *head = &slot->reply.head;
    lort_code code = ask_until_told(remote, slot, 0, remote->label, true, err);
    if (!code)
        code = check_ordinary(remote, &slot->reply, err);
    if (!code)
        code = lort_arena_text(&remote->arena, identity_of(head), strlen(identity_of(head)),
                               &file->etag, err);
    if (code)
        return code;
    file->size = head->total;
    remote->weak_etag = head->weak || !head->etag[0];
    snprintf(slot->content, sizeof slot->content, "%s", slot->url);
    lort_os_lock_mutex(remote->lock);
    place->direct = true;
    code = keep(remote, slot, place, LORT_OK, end_of_life(slot->content, head), err);
    lort_os_unlock_mutex(remote->lock);
    return code;
}
