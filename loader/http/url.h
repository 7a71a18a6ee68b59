/* url: addresses of HTTP as texts: their parts, where a redirect leads, and how a message shows
 * them. This code opens no connection. */
#ifndef LORT_LOADER_HTTP_URL_H
#define LORT_LOADER_HTTP_URL_H

#include "formats/base/error.h"
#include <stdbool.h>
#include <stdint.h>

#define LORT_URL_MAX 8192u  /* bytes with the NUL; signed addresses of today have under 2,000 */
#define LORT_URL_SHOWN 512u /* bytes with the NUL of an address in a message */
#define LORT_HOST_MAX 254u  /* RFC 1035: 253 characters */

typedef struct lort_url {
    bool https;
    char host[LORT_HOST_MAX]; /* in lower case; of IPv6 with its brackets */
    uint32_t port;
    uint32_t path; /* offset in the text: where the host and port end */
} lort_url;

/* Reads "http://..." or "https://...". Refuses other schemes, a user name, characters that are no
 * printable ASCII, and texts of LORT_URL_MAX bytes and more.
 * On failure: LORT_E_USAGE; the message has no address. */
lort_code lort_url_parse(const char *text, lort_url *out, lort_error *err);
/* True for 127.x.x.x, [::1] and localhost: no network sees what goes there. */
bool lort_url_is_loopback(const lort_url *url);
/* True if scheme, host and port are equal. */
bool lort_url_same_origin(const lort_url *a, const lort_url *b);
/* Where `location`, the header of a redirect, leads from `base`. Drops a fragment.
 * out: LORT_URL_MAX bytes. On failure: LORT_E_READ for another scheme than http and https, for a
 * step from https to http, for http to a host that is not loopback, and for what lort_url_parse
 * refuses. The message has no address. */
lort_code lort_url_join(const char *base, const char *location, char *out, lort_error *err);
/* Writes the address for a message: without user name, query and fragment, which may hold secrets.
 * "?..." stands for a query. out: LORT_URL_SHOWN bytes. Returns out. */
const char *lort_url_mask(const char *text, char *out);
/* Appends `text` to `out` at *at, percent-encoded but for letters, digits, "-._~", and '/' where
 * `keep_slash` is true. cap: bytes of out. Returns false if it does not fit. */
bool lort_url_quote(char *out, uint64_t cap, uint64_t *at, const char *text, bool keep_slash);
/* The time in seconds since 1970 at which a signed address ends, from Expires= in its query, or
 * from X-Amz-Date= and X-Amz-Expires=. Returns false if the address does not tell. */
bool lort_url_expires(const char *text, int64_t *out);

#endif
