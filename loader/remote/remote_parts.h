/* remote_parts: what the files of remote share. No other file includes it.
 *
 * remote_open.c  opens
 * remote.c       hands out slots, each with one connection; closes
 * ask.c          one request with its redirects; tries and the waits between them
 * hub.c          the Hub's API: the commit and the list of files
 * resolve.c      where the contents of a file are, once for all connections
 * fetch.c        ranges of files
 */
#ifndef LORT_LOADER_REMOTE_REMOTE_PARTS_H
#define LORT_LOADER_REMOTE_REMOTE_PARTS_H

#include "loader/http/http.h"
#include "loader/os/os.h"
#include "loader/remote/hub_list.h"
#include "loader/remote/remote.h"
#include "loader/remote/token.h"

#define LORT_REMOTE_LABEL 640u /* bytes of a label with its NUL: a masked address, or a name */

/* One connection and the buffers of one request. They are large, and stacks of threads are small.
 */
typedef struct lort_remote_slot {
    lort_http *http;
    bool busy;
    lort_http_reply reply;
    char url[LORT_URL_MAX];     /* of the request in work */
    char next[LORT_URL_MAX];    /* where a redirect leads */
    char content[LORT_URL_MAX]; /* where the contents of a file are */
} lort_remote_slot;

/* Where the contents of a file are. remote->lock guards it. */
typedef struct lort_place {
    char *url; /* of the contents; NULL: not known */
    uint64_t url_bytes;
    uint64_t until_ns;   /* on lort_os_clock_ns; 0: the address does not end */
    bool direct;         /* the server itself sends the contents */
    bool resolving;      /* one connection resolves it, the others wait */
    uint32_t resolved;   /* how often it was resolved, with or without success */
    lort_error *failure; /* of the last time; NULL: none */
} lort_place;

struct lort_remote {
    const lort_alloc *alloc;
    lort_remote_options options;
    bool is_hub;
    char *endpoint, *repository, *revision, *url; /* copies of the source's; in arena */
    lort_arena arena;
    lort_url origin; /* of endpoint, or of url */
    char label[LORT_REMOTE_LABEL];
    char commit[LORT_COMMIT_DIGITS + 1];
    char token[LORT_TOKEN_MAX];
    lort_hub_list listing; /* of the Hub */
    lort_remote_file *files, one;
    uint32_t file_count;
    bool weak_etag;     /* of a URL: the ETag may not stand in If-Match */
    lort_place *places; /* one for each file */
    lort_mutex *lock;   /* guards places, slots, counts, random */
    lort_cond *changed;
    lort_remote_slot *slots;
    lort_remote_counts counts;
    uint64_t random;
};

/* ---- remote.c ---- */
bool lort_remote_is_stopped(const lort_remote *remote);
lort_code lort_remote_stop(const lort_remote *remote, lort_error *err); /* fails: stopped */
/* Waits for a free slot. On failure: LORT_E_STOPPED. */
lort_code lort_remote_enter(lort_remote *remote, lort_remote_slot **out, lort_error *err);
void lort_remote_leave(lort_remote *remote, lort_remote_slot *slot);
void lort_remote_warn(const lort_remote *remote, const char *format, ...) LORT_PRINTF(2, 3);

/* ---- ask.c ---- */
/* A request that follows redirects. */
typedef struct lort_ask {
    bool head, ranged, with_token;
    bool stop_at_link; /* a redirect with X-Linked-ETag or X-Linked-Size is the answer */
    uint64_t first, last;
    const char *if_match;
    lort_http_take *take; /* gets the body of the last reply if its status is 2xx */
    void *ctx;
} lort_ask;
/* Sends the request to slot->url. Then slot->reply is the last reply, slot->url the address that
 * sent it, and slot->next what its Location means, if it is a redirect. Too many redirects count as
 * BROKEN. On failure: LORT_E_READ for a redirect that must not be followed. */
lort_code lort_remote_ask(lort_remote *remote, lort_remote_slot *slot, const lort_ask *ask,
                          lort_error *err);

/* Tries in a row that brought nothing new. Begin with zeros. */
typedef struct lort_tries {
    uint32_t count;
} lort_tries;
/* What a reply means that is not what was asked for. */
typedef enum lort_verdict {
    LORT_VERDICT_FINE,  /* 2xx, no page of a portal */
    LORT_VERDICT_AGAIN, /* a later try may help */
    LORT_VERDICT_OLD,   /* 400 401 403 404 410 416: not here, or not any more */
    LORT_VERDICT_END    /* it will not help */
} lort_verdict;
lort_verdict lort_remote_judge(const lort_http_reply *reply);
/* Notes a try without success and waits before the next one. what: the file or listing that was
 * asked for. On failure: LORT_E_STOPPED for a stop and after ten tries. */
lort_code lort_remote_again(lort_remote *remote, lort_tries *tries, const lort_http_reply *reply,
                            const char *what, lort_error *err);
/* Fails with what the server says: LORT_E_INPUT; LORT_E_READ for REFUSED. */
lort_code lort_remote_refuse(const lort_remote *remote, const lort_http_reply *reply,
                             const char *what, lort_error *err);

/* ---- hub.c ---- */
/* Fills commit, label and listing. */
lort_code lort_hub_open(lort_remote *remote, lort_remote_slot *slot, lort_error *err);
/* Writes the address of a file of the Hub. out: LORT_URL_MAX bytes. */
lort_code lort_hub_address(const lort_remote *remote, const char *name, char *out, lort_error *err);

/* ---- resolve.c ---- */
/* The label of a file, for messages. out: LORT_REMOTE_LABEL + LORT_URL_SHOWN bytes. */
#define LORT_REMOTE_NAME (LORT_REMOTE_LABEL + 1100u)
#define LORT_STEP_MS 100u /* of a wait: a stop is looked for so often */
const char *lort_remote_name(const lort_remote *remote, uint32_t file, char *out);
/* Learns size and identity of the file of a URL. */
lort_code lort_remote_learn(lort_remote *remote, lort_remote_slot *slot, lort_error *err);
/* Copies the address of the contents to slot->content. *turn: which resolve gave it. Waits while
 * another thread resolves the file, and shares its failure. */
lort_code lort_remote_place(lort_remote *remote, lort_remote_slot *slot, uint32_t file,
                            bool *direct, uint32_t *turn, lort_error *err);
/* The address of that turn does not serve any more. */
void lort_remote_forget(lort_remote *remote, uint32_t file, uint32_t turn);
/* Compares what a reply says of a file with what is known. On failure: LORT_E_READ. */
lort_code lort_remote_compare(const lort_remote *remote, uint32_t file, const lort_head *head,
                              lort_error *err);
void lort_remote_count_up(lort_remote *remote, uint64_t *counter, uint64_t n);

#endif
