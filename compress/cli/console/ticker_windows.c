/* ticker_windows: see ticker.h. */
#include "compress/cli/console/ticker.h"
#include <windows.h>

#define TICK_MS 250
#define TICKER_STACK (256u << 10) /* bytes */

typedef struct parts {
    SRWLOCK lock;
    CONDITION_VARIABLE wake; /* to end the thread */
    HANDLE thread;
    DWORD opener;
} parts;
_Static_assert(sizeof(parts) <= sizeof(((lort_ticker *)0)->room), "the room of a ticker");

static parts *parts_of(lort_ticker *ticker) { return (parts *)(void *)&ticker->room; }

static DWORD WINAPI tick(void *ctx)
{
    lort_ticker *ticker = ctx;
    parts *p = parts_of(ticker);
    AcquireSRWLockExclusive(&p->lock);
    while (!ticker->closing)
        if (!SleepConditionVariableSRW(&p->wake, &p->lock, TICK_MS, 0) && !ticker->closing)
            ticker->tick(ticker->ctx);
    ReleaseSRWLockExclusive(&p->lock);
    return 0;
}

void lort_ticker_open(lort_ticker *ticker)
{
    parts *p = parts_of(ticker);
    *ticker = (lort_ticker){0};
    InitializeSRWLock(&p->lock);
    InitializeConditionVariable(&p->wake);
    p->opener = GetCurrentThreadId();
}

void lort_ticker_start(lort_ticker *ticker, void (*what)(void *ctx), void *ctx)
{
    ticker->tick = what;
    ticker->ctx = ctx;
    parts_of(ticker)->thread =
        CreateThread(NULL, TICKER_STACK, tick, ticker, STACK_SIZE_PARAM_IS_A_RESERVATION, NULL);
    ticker->ticks = parts_of(ticker)->thread != NULL;
}

void lort_ticker_stop(lort_ticker *ticker)
{
    parts *p = parts_of(ticker);
    if (!ticker->ticks)
        return;
    AcquireSRWLockExclusive(&p->lock);
    ticker->closing = true;
    WakeConditionVariable(&p->wake);
    ReleaseSRWLockExclusive(&p->lock);
    WaitForSingleObject(p->thread, INFINITE);
    CloseHandle(p->thread);
    ticker->ticks = false;
}

void lort_ticker_close(lort_ticker *ticker) { (void)ticker; }

void lort_ticker_lock(lort_ticker *ticker) { AcquireSRWLockExclusive(&parts_of(ticker)->lock); }
void lort_ticker_unlock(lort_ticker *ticker) { ReleaseSRWLockExclusive(&parts_of(ticker)->lock); }

bool lort_ticker_is_mine(lort_ticker *ticker)
{
    return parts_of(ticker)->opener == GetCurrentThreadId();
}
