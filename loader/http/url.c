/* url: see url.h. What RFC 3986 calls a relative reference is joined here only as far as redirects
 * need it; libcurl removes "." and ".." from paths. */
#include "loader/http/url.h"
#include "loader/http/date.h"
#include <stdio.h>
#include <string.h>

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static char to_lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c; }

/* True if the text begins with `head`, which is in lower case. */
static bool begins(const char *text, const char *head)
{
    while (*head && to_lower(*text) == *head) {
        text++;
        head++;
    }
    return *head == 0;
}

/* Bytes of the scheme and its "://"; 0 for another scheme. */
static uint32_t scheme_bytes(const char *text)
{
    return begins(text, "https://") ? 8 : begins(text, "http://") ? 7 : 0;
}

static bool is_printable(const char *text)
{
    size_t n = 0;
    for (; text[n]; n++)
        if (text[n] <= ' ' || text[n] > '~' || n + 1 >= LORT_URL_MAX)
            return false;
    return true;
}

/* Reads the port behind a host. *end: behind its last digit. */
static bool read_port(const char *text, uint32_t *port, const char **end)
{
    uint32_t value = 0;
    const char *at = text;
    for (; is_digit(*at) && value < 65536; at++)
        value = 10 * value + (uint32_t)(*at - '0');
    if (at > text)
        *port = value;
    *end = at;
    return value < 65536 && *port > 0;
}

static const char *host_end(const char *host)
{
    if (*host != '[')
        return host + strcspn(host, ":/?#");
    const char *end = host + strcspn(host, "]/?#");
    return *end == ']' ? end + 1 : host;
}

static bool is_host(const char *host, size_t n)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789-._:[]";
    return n > 0 && n < LORT_HOST_MAX && strspn(host, allowed) == n;
}

lort_code lort_url_parse(const char *text, lort_url *out, lort_error *err)
{
    memset(out, 0, sizeof *out);
    const uint32_t scheme = scheme_bytes(text);
    if (!scheme)
        return lort_fail(err, LORT_E_USAGE, "the address does not begin with https:// or http://");
    if (!is_printable(text))
        return lort_fail(err, LORT_E_USAGE,
                         "the address has a character that is not allowed, or more than %u bytes",
                         LORT_URL_MAX - 1);
    const char *host = text + scheme, *end = host_end(host);
    const size_t n = (size_t)(end - host);
    if (memchr(host, '@', strcspn(host, "/?#")))
        return lort_fail(err, LORT_E_USAGE, "the address has a user name, which is not supported");
    lort_url url = {.https = scheme == 8, .port = scheme == 8 ? 443 : 80};
    for (size_t i = 0; i < n && i < LORT_HOST_MAX - 1; i++)
        url.host[i] = to_lower(host[i]);
    if (!is_host(url.host, n) || (*end == ':' && !read_port(end + 1, &url.port, &end)) ||
        (*end && !strchr("/?#", *end)))
        return lort_fail(err, LORT_E_USAGE, "the address has no valid host and port");
    url.path = (uint32_t)(end - text);
    *out = url;
    return LORT_OK;
}

bool lort_url_is_loopback(const lort_url *url)
{
    unsigned a, b, c;
    int n = 0;
    if (strcmp(url->host, "localhost") == 0 || strcmp(url->host, "[::1]") == 0)
        return true;
    return strspn(url->host, "0123456789.") == strlen(url->host) &&
           sscanf(url->host, "127.%3u.%3u.%3u%n", &a, &b, &c, &n) == 3 && url->host[n] == 0 &&
           a < 256 && b < 256 && c < 256;
}

bool lort_url_same_origin(const lort_url *a, const lort_url *b)
{
    return a->https == b->https && a->port == b->port && strcmp(a->host, b->host) == 0;
}

/* ---- redirects ---- */

static bool has_scheme(const char *text)
{
    const size_t n = strcspn(text, ":/?#");
    return n > 0 && text[n] == ':';
}

/* Bytes of `base` that stay in front of a relative location. */
static size_t kept_bytes(const char *base, const lort_url *url, const char *location)
{
    const size_t end = url->path + strcspn(base + url->path, "?#");
    if (location[0] == '/')
        return location[1] == '/' ? (url->https ? 6 : 5) : url->path;
    if (location[0] == '?' || location[0] == '#' || location[0] == 0)
        return end;
    size_t n = end;
    while (n > url->path && base[n - 1] != '/')
        n--;
    return n;
}

static lort_code check_step(const lort_url *from, const char *text, lort_error *err)
{
    lort_url to;
    if (has_scheme(text) && !scheme_bytes(text))
        return lort_fail(err, LORT_E_READ,
                         "a redirect leads to another scheme (only https is followed)");
    if (lort_url_parse(text, &to, err)) {
        if (err)
            err->code = LORT_E_READ;
        lort_error_prefix(err, "a redirect leads to a wrong address");
        return LORT_E_READ;
    }
    if (from->https && !to.https)
        return lort_fail(err, LORT_E_READ, "a redirect leads from https to http");
    if (!to.https && !lort_url_is_loopback(&to))
        return lort_fail(err, LORT_E_READ, "a redirect leads to http (only https is followed)");
    return LORT_OK;
}

lort_code lort_url_join(const char *base, const char *location, char *out, lort_error *err)
{
    lort_url from;
    out[0] = 0;
    lort_code code = lort_url_parse(base, &from, err);
    if (code)
        return code;
    const size_t kept = has_scheme(location) ? 0 : kept_bytes(base, &from, location);
    /* "https://host" and "path" */
    const bool slash = kept && kept == from.path && location[0] && !strchr("/?#", location[0]);
    const size_t n = strcspn(location, "#");
    if (kept + slash + n >= LORT_URL_MAX)
        return lort_fail(err, LORT_E_READ,
                         "a redirect leads to an address of %zu bytes (at most %u)", kept + n,
                         LORT_URL_MAX - 1);
    memcpy(out, base, kept);
    out[kept] = '/';
    memcpy(out + kept + slash, location, n);
    out[kept + slash + n] = 0;
    code = check_step(&from, out, err);
    if (code)
        out[0] = 0;
    return code;
}

/* ---- for messages, and for requests ---- */

const char *lort_url_mask(const char *text, char *out)
{
    const uint32_t scheme = scheme_bytes(text);
    const char *rest = text + scheme;
    const size_t authority = strcspn(rest, "/?#");
    for (size_t i = 0; i < authority; i++) {
        if (rest[i] == '@')
            text = rest + i + 1;
    }
    const bool cut = text > rest;
    const size_t n = strcspn(text, "?#");
    snprintf(out, LORT_URL_SHOWN, "%.*s%.*s%s", cut ? (int)scheme : 0, rest - scheme,
             (int)(n < LORT_URL_SHOWN ? n : LORT_URL_SHOWN), text, text[n] == '?' ? "?..." : "");
    return out;
}

bool lort_url_quote(char *out, uint64_t cap, uint64_t *at, const char *text, bool keep_slash)
{
    static const char hex[] = "0123456789ABCDEF";
    for (; *text; text++) {
        const uint8_t c = (uint8_t)*text;
        const bool plain = is_digit(*text) || (to_lower(*text) >= 'a' && to_lower(*text) <= 'z') ||
                           strchr("-._~", *text) || (keep_slash && *text == '/');
        if (*at + (plain ? 1 : 3) >= cap)
            return false;
        if (plain) {
            out[(*at)++] = *text;
        } else {
            out[(*at)++] = '%';
            out[(*at)++] = hex[c >> 4];
            out[(*at)++] = hex[c & 15];
        }
    }
    out[*at] = 0;
    return true;
}

/* The value of `name=` in the query, or NULL. */
static const char *query_value(const char *text, const char *name)
{
    const size_t n = strlen(name);
    const char *at = strchr(text, '?');
    while (at) {
        if (strncmp(at + 1, name, n) == 0 && at[1 + n] == '=')
            return at + n + 2;
        at = strchr(at + 1, '&');
    }
    return NULL;
}

static bool read_seconds(const char *text, int64_t *out)
{
    *out = 0;
    const char *at = text;
    for (; is_digit(*at); at++) {
        if (at - text > 12) /* beyond the year 30000 */
            return false;
        *out = 10 * *out + (*at - '0');
    }
    return at > text;
}

bool lort_url_expires(const char *text, int64_t *out)
{
    const char *expires = query_value(text, "Expires"), *life = query_value(text, "X-Amz-Expires");
    const char *date = query_value(text, "X-Amz-Date");
    int64_t from, seconds;
    *out = 0;
    if (expires)
        return read_seconds(expires, out);
    if (!life || !date || !read_seconds(life, &seconds) || !lort_date_basic(date, &from))
        return false;
    *out = from + seconds;
    return true;
}
