/* remote: the room loader/remote owns models on the network: requests, retries, redirects, the
 * token, and what the server promised about each file. Only http.c knows the HTTP library. It must
 * not know a file format. */
#ifndef LORT_LOADER_REMOTE_REMOTE_H
#define LORT_LOADER_REMOTE_REMOTE_H

#include "formats/base/alloc.h"
#include "loader/source/source.h"
#include <stdint.h>

#define LORT_REMOTE_CONNECTIONS 4u /* by default */
#define LORT_REMOTE_STACK                                                                          \
    (UINT64_C(512) << 10) /* bytes that a thread needs which calls open or fetch */

/* False: this build has no HTTP library, and lort_remote_open fails. */
bool lort_remote_built(void);

typedef struct lort_remote lort_remote;

typedef struct lort_remote_file {
    const char *name; /* a plain path in the repository; of a URL, its last part */
    uint64_t size;
    const char *etag;   /* what identifies the contents, without quotes and W/; "" if unknown */
    bool has_sha256;    /* the server named the SHA-256 of the whole file */
    uint8_t sha256[32]; /* zeros without has_sha256 */
} lort_remote_file;

typedef struct lort_remote_options {
    unsigned connections; /* most requests at a time; 0: LORT_REMOTE_CONNECTIONS; at most 64 */
    /* Called between and during waits, from any thread. True: calls end with LORT_E_STOPPED. */
    bool (*stop)(void *ctx);
    void *stop_ctx;
    /* Receives each warning as one escaped line. May be NULL. */
    void (*warn)(void *ctx, const char *text);
    void *warn_ctx;
    /* For tests, which cannot wait for minutes. 0: as it is for users. */
    uint32_t wait_unit_ms; /* of the random waits between tries; 0: 1000 */
    uint32_t quiet_s;      /* a request ends that was silent for so long; 0: 30 */
} lort_remote_options;

/* Counts since open. */
typedef struct lort_remote_counts {
    uint64_t requests, resolves, retries, body_bytes;
} lort_remote_counts;

/* Resolves the commit of a HUB source and lists its files, or asks for the size of a URL source.
 * Later requests name the commit. Owner: lort_remote_close.
 * On failure: LORT_E_INPUT for what the server does not have or does not give (with its words),
 * LORT_E_READ for what it should not have said, LORT_E_STOPPED for a stop, or a network that is
 * away (ten tries without a new byte), LORT_E_MEMORY. */
lort_code lort_remote_open(const lort_source *source, const lort_remote_options *options,
                           const lort_alloc *alloc, lort_remote **out, lort_error *err);
void lort_remote_close(lort_remote *remote); /* accepts NULL */

const char *lort_remote_commit(const lort_remote *remote); /* 40 hex digits; "" of a URL */
/* "hf://ORG/NAME@COMMIT" or the URL without its query: for logs, reports, journals. */
const char *lort_remote_label(const lort_remote *remote);
uint32_t lort_remote_count(const lort_remote *remote);
const lort_remote_file *lort_remote_get(const lort_remote *remote, uint32_t file);

/* Fetches n bytes at `offset` of a file, by one connection, with retries, and hands them to `take`
 * in order: each byte once. A failure of take ends the call with its code.
 * Threads: any number at a time; above `connections` they wait for each other.
 * On failure: as lort_remote_open; LORT_E_READ also if the file is another than at open. */
typedef lort_code lort_remote_take(void *ctx, const void *bytes, uint64_t n, lort_error *err);
lort_code lort_remote_fetch(lort_remote *remote, uint32_t file, uint64_t offset, uint64_t n,
                            lort_remote_take *take, void *ctx, lort_error *err);
void lort_remote_count_all(const lort_remote *remote, lort_remote_counts *out);

#endif
