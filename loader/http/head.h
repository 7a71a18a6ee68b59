/* head: what LoRT reads from the head of an HTTP reply. The lines come from a server that nobody
 * has checked. This code opens no connection. */
#ifndef LORT_LOADER_HTTP_HEAD_H
#define LORT_LOADER_HTTP_HEAD_H

#include "loader/http/url.h"

#define LORT_ETAG_MAX 256u
#define LORT_WAIT_MAX 3600u /* seconds that a server may ask for; the Hub counts in 300 s */

typedef struct lort_head {
    uint32_t status; /* 0: no reply came */
    /* A line is too long for its member, or a number is none: the reply cannot be trusted. */
    bool faulty;
    bool has_length, has_range, has_total, has_linked_size;
    uint64_t length;      /* Content-Length */
    uint64_t first, last; /* Content-Range, with has_range: the bytes, both included */
    uint64_t total;       /* Content-Range, with has_total: the size of the whole file */
    bool encoded;         /* Content-Encoding is another than identity */
    bool html;            /* Content-Type is text/html: what a portal or a proxy sends */
    bool weak;            /* the ETag is weak */
    bool rated;           /* RateLimit has a wait */
    bool has_retry, has_retry_at, has_date;
    uint32_t rate_wait, retry_wait; /* seconds */
    int64_t retry_at, date;         /* seconds since 1970 */
    char etag[LORT_ETAG_MAX];       /* without quotes and W/ */
    char modified[64];              /* Last-Modified */
    char location[LORT_URL_MAX];
    char next[LORT_URL_MAX]; /* Link with rel="next" */
    /* What the Hub adds. error_message may hold any bytes but NUL and line ends. */
    uint64_t linked_size;
    char linked_etag[LORT_ETAG_MAX], commit[65], error_code[64], error_message[512];
} lort_head;

/* Reads one line of a head, with or without its line end. A line "HTTP/..." begins a new head. */
void lort_head_line(lort_head *head, const void *line, uint64_t bytes);
/* True for a status that a later try may change: 408, 425, 429 and 5xx. */
bool lort_head_is_busy(const lort_head *head);
/* True for 301, 302, 303, 307 and 308. */
bool lort_head_is_redirect(const lort_head *head);
/* Seconds that the server asks to wait, by RateLimit or Retry-After; 0: it does not say. At most
 * LORT_WAIT_MAX. now: seconds since 1970, for a server that sends no Date. */
uint32_t lort_head_wait(const lort_head *head, int64_t now);

#endif
