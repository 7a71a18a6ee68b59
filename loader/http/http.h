/* http: the room loader/http owns requests over HTTP: one request and its reply (http), what a head
 * says (head, date), addresses (url). It must not know the Hub, and does not try again. Only http.c
 * knows the HTTP library, which is loaded when the first lort_http is opened. In a build without it
 * http_none.c has this interface. */
#ifndef LORT_LOADER_HTTP_HTTP_H
#define LORT_LOADER_HTTP_HTTP_H

#include "formats/base/alloc.h"
#include "loader/http/head.h"

/* One request at a time. It keeps connections open, up to four, so that the next request need not
 * connect again. */
typedef struct lort_http lort_http;

typedef struct lort_http_options {
    uint32_t connect_ms; /* most time for a name, a connection and TLS */
    uint32_t quiet_s;    /* after so many seconds with less than 1,000 bytes each, a request ends */
    /* Looked at every 0.1 s during a request. NULL: never stops. */
    bool (*stop)(void *ctx);
    void *stop_ctx;
} lort_http_options;

typedef struct lort_http_request {
    const char *url; /* lort_url_parse accepts it */
    bool head;       /* HEAD in place of GET */
    bool ranged;     /* asks for the bytes first to last, both included */
    uint64_t first, last;
    const char *token;    /* sent as a bearer; NULL: none */
    const char *if_match; /* a strong ETag without quotes; NULL: none */
} lort_http_request;

typedef enum lort_http_end {
    LORT_HTTP_DONE,    /* the reply ended; without Content-Length it may have been cut */
    LORT_HTTP_ENOUGH,  /* `take` returned false */
    LORT_HTTP_BROKEN,  /* the connection failed or was silent: another try may help */
    LORT_HTTP_REFUSED, /* no trust in the certificate, or no TLS: another try does not help */
    LORT_HTTP_STOPPED  /* by options.stop */
} lort_http_end;

#define LORT_HTTP_REASON 256u

typedef struct lort_http_reply {
    lort_http_end end;
    lort_head head;
    uint64_t body_bytes;           /* that came, also those that `take` refused */
    char reason[LORT_HTTP_REASON]; /* of BROKEN and REFUSED: the library's words */
} lort_http_reply;

/* Gets the body, piece by piece, once the head is complete. False ends the request. */
typedef bool lort_http_take(void *ctx, const lort_head *head, const void *bytes, uint64_t n);

/* False: this build has no HTTP library, and lort_http_open fails. */
bool lort_http_built(void);
/* Loads the HTTP library if that was not done. Owner: lort_http_close.
 * On failure: LORT_E_USAGE if there is no HTTP library, LORT_E_MEMORY. */
lort_code lort_http_open(const lort_http_options *options, const lort_alloc *alloc, lort_http **out,
                         lort_error *err);
/* Sends one request, and follows no redirect. Never sends cookies, passwords of .netrc, or a
 * request for compression. Takes the proxy from the environment as libcurl does, but none for
 * loopback. Takes the certificates from the file SSL_CERT_FILE or CURL_CA_BUNDLE names, else from
 * where the library has them. Threads: one at a time for each lort_http. */
void lort_http_ask(lort_http *http, const lort_http_request *request, lort_http_take *take,
                   void *ctx, lort_http_reply *reply);
void lort_http_close(lort_http *http); /* accepts NULL */

#endif
