/* http: requests by libcurl. This file alone includes <curl/curl.h>.
 *
 * libcurl brings about 30 libraries into a process, and most runs of LoRT need none of them. So the
 * library is loaded by the first lort_http_open, and the functions below are a table.
 *
 * Redirects stay off: loader/remote follows them and decides where the token may go. The multi
 * interface serves one transfer; its poll lets a stop end any wait within 0.1 s. */
#include "loader/http/http.h"
#include "loader/os/os.h"
#include <curl/curl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#undef curl_easy_setopt /* the header checks types by a macro */

#define POLL_MS 100
#define SLOW_BYTES 1000L     /* a second */
#define BUFFER_BYTES 131072L /* of the body; libcurl's own are 16 KiB */
#define LONGEST_TOKEN 1024u

typedef struct library {
    CURLcode (*global_init)(long flags);
    CURL *(*easy_init)(void);
    CURLcode (*easy_setopt)(CURL *easy, CURLoption option, ...);
    void (*easy_reset)(CURL *easy);
    void (*easy_cleanup)(CURL *easy);
    const char *(*easy_strerror)(CURLcode code);
    CURLM *(*multi_init)(void);
    CURLMcode (*multi_add_handle)(CURLM *multi, CURL *easy);
    CURLMcode (*multi_remove_handle)(CURLM *multi, CURL *easy);
    CURLMcode (*multi_perform)(CURLM *multi, int *running);
    CURLMcode (*multi_poll)(CURLM *multi, struct curl_waitfd fds[], unsigned count, int ms,
                            int *ready);
    CURLMsg *(*multi_info_read)(CURLM *multi, int *left);
    CURLMcode (*multi_cleanup)(CURLM *multi);
    struct curl_slist *(*slist_append)(struct curl_slist *list, const char *text);
    void (*slist_free_all)(struct curl_slist *list);
} library;

static library curl; /* filled once, under `loading` */

static const struct {
    const char *name;
    void *function;
} functions[] = {
    {"curl_global_init", &curl.global_init},
    {"curl_easy_init", &curl.easy_init},
    {"curl_easy_setopt", &curl.easy_setopt},
    {"curl_easy_reset", &curl.easy_reset},
    {"curl_easy_cleanup", &curl.easy_cleanup},
    {"curl_easy_strerror", &curl.easy_strerror},
    {"curl_multi_init", &curl.multi_init},
    {"curl_multi_add_handle", &curl.multi_add_handle},
    {"curl_multi_remove_handle", &curl.multi_remove_handle},
    {"curl_multi_perform", &curl.multi_perform},
    {"curl_multi_poll", &curl.multi_poll},
    {"curl_multi_info_read", &curl.multi_info_read},
    {"curl_multi_cleanup", &curl.multi_cleanup},
    {"curl_slist_append", &curl.slist_append},
    {"curl_slist_free_all", &curl.slist_free_all},
};

struct lort_http {
    const lort_alloc *alloc;
    lort_http_options options;
    CURL *easy;
    CURLM *multi;
    struct curl_slist *lines; /* of the request in work */
    lort_http_reply *reply;   /* the same */
    lort_http_take *take;
    void *ctx;
    bool enough;
    char error[CURL_ERROR_SIZE];
};

bool lort_http_built(void) { return true; }

/* ---- loading ---- */

/* On macOS and Debian the file has other names. */
static const char *const library_names[] = {"libcurl.so.4", "libcurl-gnutls.so.4",
                                            "libcurl.4.dylib", NULL};

static lort_code load(lort_error *err)
{
    void *const found = lort_os_library(library_names);
    if (!found)
        return lort_fail(err, LORT_E_USAGE,
                         "the library %s is not here, so LoRT cannot use the network; install it "
                         "(Debian: libcurl4), or download the model and name its folder",
                         library_names[0]);
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        if (!lort_os_library_find(found, functions[i].name, functions[i].function))
            return lort_fail(err, LORT_E_USAGE,
                             "the library %s has no function %s; install libcurl 7.66 or newer",
                             library_names[0], functions[i].name);
    if (curl.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return lort_fail(err, LORT_E_MEMORY, "the library %s does not start", library_names[0]);
    return LORT_OK;
}

/* Before libcurl 7.84 no two threads may start it at once. Who comes second spins until the library
 * is loaded, some 20 ms. The library stays: the host program may use it too. */
static lort_code load_once(lort_error *err)
{
    static atomic_flag loading = ATOMIC_FLAG_INIT;
    static bool loaded;
    lort_code code = LORT_OK;
    while (atomic_flag_test_and_set(&loading))
        ;
    if (!loaded)
        code = load(err);
    loaded = !code;
    atomic_flag_clear(&loading);
    return code;
}

lort_code lort_http_open(const lort_http_options *options, const lort_alloc *alloc, lort_http **out,
                         lort_error *err)
{
    void *memory;
    *out = NULL;
    lort_code code = load_once(err);
    if (!code)
        code = lort_take_zero(alloc, sizeof(lort_http), "a connection", &memory, err);
    if (code)
        return code;
    lort_http *http = memory;
    http->alloc = alloc;
    http->options = *options;
    http->easy = curl.easy_init();
    http->multi = curl.multi_init();
    if (!http->easy || !http->multi) {
        lort_http_close(http);
        return lort_fail(err, LORT_E_MEMORY, "no memory for a connection");
    }
    *out = http;
    return LORT_OK;
}

void lort_http_close(lort_http *http)
{
    if (!http)
        return;
    if (http->easy)
        curl.easy_cleanup(http->easy);
    if (http->multi)
        curl.multi_cleanup(http->multi);
    lort_give(http->alloc, http, sizeof *http);
}

/* ---- one request ---- */

static size_t on_line(char *line, size_t size, size_t n, void *ctx)
{
    lort_http *http = ctx;
    lort_head_line(&http->reply->head, line, size * n);
    return size * n;
}

static size_t on_body(char *bytes, size_t size, size_t n, void *ctx)
{
    lort_http *http = ctx;
    const size_t count = size * n;
    http->reply->body_bytes += count;
    if (http->take(http->ctx, &http->reply->head, bytes, count))
        return count;
    http->enough = true;
    return count ? 0 : 1; /* another number than count: libcurl ends the transfer */
}

static void add_line(lort_http *http, const char *line)
{
    struct curl_slist *lines = curl.slist_append(http->lines, line);
    if (lines)
        http->lines = lines;
}

/* The lines of the request that libcurl would not send by itself. */
static void add_lines(lort_http *http, const lort_http_request *request)
{
    char line[LONGEST_TOKEN + 32];
    add_line(http, "Accept-Encoding: identity");
    if (request->if_match) {
        snprintf(line, sizeof line, "If-Match: \"%s\"", request->if_match);
        add_line(http, line);
    }
    if (request->token && strlen(request->token) <= LONGEST_TOKEN) {
        snprintf(line, sizeof line, "Authorization: Bearer %s", request->token);
        add_line(http, line);
        memset(line, 0, sizeof line);
    }
    curl.easy_setopt(http->easy, CURLOPT_HTTPHEADER, http->lines);
}

static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

/* What is the same for every request. */
static void set_manners(lort_http *http)
{
    CURL *const easy = http->easy;
    const char *authorities = variable("SSL_CERT_FILE");
    if (!authorities)
        authorities = variable("CURL_CA_BUNDLE"); /* only the command curl reads it by itself */
    if (authorities)
        curl.easy_setopt(easy, CURLOPT_CAINFO, authorities);
    curl.easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl.easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl.easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl.easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    curl.easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L); /* the lines of a proxy */
    curl.easy_setopt(easy, CURLOPT_USERAGENT, "lort");
    curl.easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl.easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl.easy_setopt(easy, CURLOPT_BUFFERSIZE, BUFFER_BYTES);
    curl.easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)http->options.connect_ms);
    curl.easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, SLOW_BYTES);
    curl.easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, (long)http->options.quiet_s);
#if LIBCURL_VERSION_NUM >= 0x075700
    curl.easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L); /* a stop does not wait for a name server */
#endif
}

static void set_request(lort_http *http, const lort_http_request *request)
{
    CURL *const easy = http->easy;
    char range[48];
    lort_url url;
    curl.easy_reset(easy);
    set_manners(http);
    curl.easy_setopt(easy, CURLOPT_URL, request->url);
    if (!lort_url_parse(request->url, &url, NULL) && lort_url_is_loopback(&url))
        curl.easy_setopt(easy, CURLOPT_NOPROXY, "*"); /* a token must not pass a proxy in clear */
    if (request->head)
        curl.easy_setopt(easy, CURLOPT_NOBODY, 1L);
    if (request->ranged) {
        snprintf(range, sizeof range, "%" PRIu64 "-%" PRIu64, request->first, request->last);
        curl.easy_setopt(easy, CURLOPT_RANGE, range);
    }
    add_lines(http, request);
    curl.easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_line);
    curl.easy_setopt(easy, CURLOPT_HEADERDATA, http);
    curl.easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl.easy_setopt(easy, CURLOPT_WRITEDATA, http);
    http->error[0] = 0;
    curl.easy_setopt(easy, CURLOPT_ERRORBUFFER, http->error);
}

static bool is_stopped(const lort_http *http)
{
    return http->options.stop && http->options.stop(http->options.stop_ctx);
}

static CURLcode run(lort_http *http)
{
    int running = 1, left;
    if (curl.multi_add_handle(http->multi, http->easy) != CURLM_OK)
        return CURLE_FAILED_INIT;
    CURLcode code = CURLE_FAILED_INIT;
    while (running) {
        if (is_stopped(http)) {
            code = CURLE_ABORTED_BY_CALLBACK;
            break;
        }
        if (curl.multi_perform(http->multi, &running) != CURLM_OK ||
            (running && curl.multi_poll(http->multi, NULL, 0, POLL_MS, NULL) != CURLM_OK))
            break;
    }
    const CURLMsg *message = running ? NULL : curl.multi_info_read(http->multi, &left);
    if (message)
        code = message->data.result;
    curl.multi_remove_handle(http->multi, http->easy);
    return code;
}

static lort_http_end end_of(const lort_http *http, CURLcode code)
{
    if (http->enough)
        return LORT_HTTP_ENOUGH;
    switch (code) {
    case CURLE_OK:
        return LORT_HTTP_DONE;
    case CURLE_ABORTED_BY_CALLBACK:
        return LORT_HTTP_STOPPED;
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
        return LORT_HTTP_REFUSED;
    default:
        return LORT_HTTP_BROKEN;
    }
}

void lort_http_ask(lort_http *http, const lort_http_request *request, lort_http_take *take,
                   void *ctx, lort_http_reply *reply)
{
    memset(reply, 0, sizeof *reply);
    http->reply = reply;
    http->take = take;
    http->ctx = ctx;
    http->enough = false;
    set_request(http, request);
    const CURLcode code = run(http);
    reply->end = end_of(http, code);
    if (reply->end == LORT_HTTP_BROKEN || reply->end == LORT_HTTP_REFUSED)
        snprintf(reply->reason, sizeof reply->reason, "%s",
                 http->error[0] ? http->error : curl.easy_strerror(code));
    curl.easy_reset(http->easy); /* forgets the token */
    curl.slist_free_all(http->lines);
    http->lines = NULL;
}
