/* ticker: a lock, and a thread that does something under the lock four times a second. */
#ifndef LORT_COMPRESS_CLI_CONSOLE_TICKER_H
#define LORT_COMPRESS_CLI_CONSOLE_TICKER_H

#include <stdbool.h>
#include <stddef.h>

typedef struct lort_ticker {
    void (*tick)(void *ctx);
    void *ctx;
    bool ticks, closing;
    union { /* of the file of the system: lock, wake-up call, thread, opener */
        max_align_t aligned;
        unsigned char bytes[256];
    } room;
} lort_ticker;

/* Makes the lock. Must stay where it is until lort_ticker_close. */
void lort_ticker_open(lort_ticker *ticker);
/* Starts the thread. It holds the lock while it calls `tick`, and gets no signals. Without memory
 * there is no thread, and nothing ticks. */
void lort_ticker_start(lort_ticker *ticker, void (*tick)(void *ctx), void *ctx);
/* Ends the thread, if there is one. The lock stays. */
void lort_ticker_stop(lort_ticker *ticker);
/* Frees the lock. */
void lort_ticker_close(lort_ticker *ticker);

void lort_ticker_lock(lort_ticker *ticker);
void lort_ticker_unlock(lort_ticker *ticker);
/* True in the thread that opened the ticker. Threads: any. */
bool lort_ticker_is_mine(lort_ticker *ticker);

#endif
