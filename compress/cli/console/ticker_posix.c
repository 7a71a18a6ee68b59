/* ticker_posix: see ticker.h. It uses the monotonic clock, which no one sets. */
#define _GNU_SOURCE
#include "compress/cli/console/ticker.h"
#include <pthread.h>
#include <signal.h>
#include <time.h>

#define TICK_NS 250000000         /* 0.25 s */
#define TICKER_STACK (256u << 10) /* bytes */

typedef struct parts {
    pthread_mutex_t mutex;
    pthread_cond_t wake; /* to end the thread */
    pthread_t thread, opener;
} parts;
_Static_assert(sizeof(parts) <= sizeof(((lort_ticker *)0)->room), "the room of a ticker");

static parts *parts_of(lort_ticker *ticker) { return (parts *)(void *)&ticker->room; }

static struct timespec next_tick(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_nsec += TICK_NS;
    t.tv_sec += t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    return t;
}

static void *tick(void *ctx)
{
    lort_ticker *ticker = ctx;
    parts *p = parts_of(ticker);
    pthread_mutex_lock(&p->mutex);
    while (!ticker->closing) {
        const struct timespec until = next_tick();
        if (pthread_cond_timedwait(&p->wake, &p->mutex, &until) && !ticker->closing)
            ticker->tick(ticker->ctx);
    }
    pthread_mutex_unlock(&p->mutex);
    return NULL;
}

void lort_ticker_open(lort_ticker *ticker)
{
    pthread_condattr_t monotonic;
    parts *p = parts_of(ticker);
    *ticker = (lort_ticker){0};
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&p->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&p->mutex, NULL);
    p->opener = pthread_self();
}

/* Signals go to the threads that work. */
void lort_ticker_start(lort_ticker *ticker, void (*what)(void *ctx), void *ctx)
{
    pthread_attr_t how;
    sigset_t all, before;
    ticker->tick = what;
    ticker->ctx = ctx;
    if (pthread_attr_init(&how))
        return;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    ticker->ticks = pthread_attr_setstacksize(&how, TICKER_STACK) == 0 &&
                    pthread_create(&parts_of(ticker)->thread, &how, tick, ticker) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&how);
}

void lort_ticker_stop(lort_ticker *ticker)
{
    parts *p = parts_of(ticker);
    if (!ticker->ticks)
        return;
    pthread_mutex_lock(&p->mutex);
    ticker->closing = true;
    pthread_cond_signal(&p->wake);
    pthread_mutex_unlock(&p->mutex);
    pthread_join(p->thread, NULL);
    ticker->ticks = false;
}

void lort_ticker_close(lort_ticker *ticker)
{
    pthread_cond_destroy(&parts_of(ticker)->wake);
    pthread_mutex_destroy(&parts_of(ticker)->mutex);
}

void lort_ticker_lock(lort_ticker *ticker) { pthread_mutex_lock(&parts_of(ticker)->mutex); }
void lort_ticker_unlock(lort_ticker *ticker) { pthread_mutex_unlock(&parts_of(ticker)->mutex); }

bool lort_ticker_is_mine(lort_ticker *ticker)
{
    return pthread_equal(pthread_self(), parts_of(ticker)->opener);
}
