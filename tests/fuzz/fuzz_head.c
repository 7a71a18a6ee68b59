/* Fuzz target: heads of HTTP replies, and where their redirects lead. Numbers are consistent, texts
 * end, waits are bounded. An accepted redirect stays on https, and masks hide queries. Input: the
 * lines of a head. */
#include "fuzz.h"
#include "loader/http/head.h"

static void check_texts(const lort_head *h)
{
    CHECK(memchr(h->etag, 0, sizeof h->etag) && memchr(h->modified, 0, sizeof h->modified));
    CHECK(memchr(h->location, 0, sizeof h->location) && memchr(h->next, 0, sizeof h->next));
    CHECK(memchr(h->linked_etag, 0, sizeof h->linked_etag));
    CHECK(memchr(h->commit, 0, sizeof h->commit) && memchr(h->error_code, 0, sizeof h->error_code));
    CHECK(memchr(h->error_message, 0, sizeof h->error_message));
}

static void check_head(const lort_head *h)
{
    check_texts(h);
    CHECK(h->status == 0 || (h->status >= 100 && h->status <= 999));
    if (h->has_range)
        CHECK(h->first <= h->last && (!h->has_total || h->last < h->total));
    CHECK(lort_head_wait(h, 0) <= LORT_WAIT_MAX &&
          lort_head_wait(h, INT64_MAX / 2) <= LORT_WAIT_MAX);
    CHECK(!lort_head_is_busy(h) || !lort_head_is_redirect(h));
}

static void check_mask(const char *text)
{
    char shown[LORT_URL_SHOWN];
    lort_url_mask(text, shown);
    const char *query = strchr(shown, '?');
    CHECK(!query || strcmp(query, "?...") == 0 || strlen(shown) == sizeof shown - 1);
    CHECK(!strchr(shown, '#'));
}

static void check_redirect(const char *location)
{
    static const char base[] = "https://example.org/a/b?c";
    char out[LORT_URL_MAX];
    lort_error err = {0};
    lort_url url;
    int64_t ends;
    check_mask(location);
    lort_url_expires(location, &ends);
    if (lort_url_join(base, location, out, &err)) {
        CHECK(err.code == LORT_E_READ && err.message[0] && out[0] == 0);
        return;
    }
    CHECK(lort_url_parse(out, &url, NULL) == LORT_OK && url.https && !strchr(out, '#'));
    CHECK(strlen(url.host) > 0 && url.port > 0 && url.port < 65536 && url.path <= strlen(out));
    check_mask(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lort_head head = {0};
    size_t at = 0;
    while (at < size) {
        const uint8_t *end = memchr(data + at, '\n', size - at);
        const size_t n = end ? (size_t)(end - data) - at + 1 : size - at;
        uint8_t *line = malloc(n); /* an exact-size copy */
        CHECK(line);
        memcpy(line, data + at, n);
        lort_head_line(&head, line, n);
        free(line);
        check_head(&head);
        at += n;
    }
    check_redirect(head.location);
    check_redirect(head.next);
    return 0;
}
