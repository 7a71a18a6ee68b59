/* os_posix_thread: threads, mutexes and condition variables over pthreads. */
#define _GNU_SOURCE
#include "loader/os/posix/os_posix.h"

#include <assert.h>
#include <errno.h>
#include <fenv.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MOST_FOR_LIBRARIES ((size_t)4 << 20)

struct lort_thread {
    pthread_t id;
    void (*run)(void *ctx);
    void *ctx;
};
struct lort_mutex {
    pthread_mutex_t lock;
};
struct lort_cond {
    pthread_cond_t cond;
};

static_assert(sizeof(fenv_t) <= sizeof(lort_float_env), "lort_float_env holds a fenv_t");

/* Since glibc 2.20 FE_DFL_ENV also clears flush-to-zero and denormals-are-zero of x86, and fenv_t
 * holds them (glibc bug 16068). */
void lort_os_float_enter(lort_float_env *saved)
{
    fenv_t now;
    memset(saved, 0, sizeof *saved);
    fegetenv(&now);
    memcpy(saved, &now, sizeof now);
    fesetenv(FE_DFL_ENV);
}

void lort_os_float_leave(const lort_float_env *saved)
{
    fenv_t was;
    memcpy(&was, saved, sizeof was);
    fesetenv(&was);
}

static void *enter_thread(void *thread)
{
    const lort_thread *self = thread;
    fesetenv(FE_DFL_ENV);
    self->run(self->ctx);
    return NULL;
}

static int start_with(lort_thread *thread, size_t stack)
{
    pthread_attr_t attr;
    int why = pthread_attr_init(&attr);
    if (why)
        return why;
    why = pthread_attr_setstacksize(&attr, stack);
    if (!why)
        why = pthread_create(&thread->id, &attr, enter_thread, thread);
    pthread_attr_destroy(&attr);
    return why;
}

/* The thread-local data of every library lies on the stack too (60 KiB for OpenBLAS alone). No call
 * tells its size. pthread_create returns EINVAL for a stack that is too small, so LoRT doubles the
 * stack. */
static int start_thread(lort_thread *thread, size_t stack)
{
    sigset_t blocked, before;
    /* The first thread handles signals. SIGBUS and SIGSEGV stay unblocked, since the thread that
     * causes one must handle it. */
    sigfillset(&blocked);
    sigdelset(&blocked, SIGBUS);
    sigdelset(&blocked, SIGSEGV);
    pthread_sigmask(SIG_SETMASK, &blocked, &before);
    int why = start_with(thread, stack);
    for (; why == EINVAL && stack < MOST_FOR_LIBRARIES; stack *= 2)
        why = start_with(thread, 2 * stack);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return why;
}

lort_code lort_os_thread_start(void (*run)(void *ctx), void *ctx, uint64_t stack_bytes,
                               lort_thread **out, lort_error *err)
{
    *out = NULL;
    uint64_t page = lort_os_page_size(), least = (uint64_t)PTHREAD_STACK_MIN;
    uint64_t stack = ((stack_bytes > least ? stack_bytes : least) + page - 1) / page * page;
    lort_thread *thread = malloc(sizeof *thread);
    if (!thread)
        return lort_fail(err, LORT_E_MEMORY, "no memory for a thread");
    thread->run = run;
    thread->ctx = ctx;
    lort_os_share_heap();
    int why = start_thread(thread, (size_t)stack);
    if (why) {
        free(thread);
        return lort_fail(err, LORT_E_MEMORY, "cannot start a thread: %s", strerror(why));
    }
    *out = thread;
    return LORT_OK;
}

void lort_os_thread_join(lort_thread *thread)
{
    if (!thread)
        return;
    pthread_join(thread->id, NULL);
    free(thread);
}

lort_code lort_os_mutex_open(lort_mutex **out, lort_error *err)
{
    lort_mutex *mutex = malloc(sizeof *mutex);
    *out = mutex;
    if (!mutex)
        return lort_fail(err, LORT_E_MEMORY, "no memory for a mutex");
    pthread_mutex_init(&mutex->lock, NULL); /* cannot fail on Linux with default attributes */
    return LORT_OK;
}

void lort_os_lock_mutex(lort_mutex *mutex) { pthread_mutex_lock(&mutex->lock); }
void lort_os_unlock_mutex(lort_mutex *mutex) { pthread_mutex_unlock(&mutex->lock); }

void lort_os_mutex_close(lort_mutex *mutex)
{
    if (!mutex)
        return;
    pthread_mutex_destroy(&mutex->lock);
    free(mutex);
}

lort_code lort_os_cond_open(lort_cond **out, lort_error *err)
{
    lort_cond *cond = malloc(sizeof *cond);
    *out = cond;
    if (!cond)
        return lort_fail(err, LORT_E_MEMORY, "no memory for a condition variable");
    pthread_condattr_t attr; /* these calls cannot fail on Linux */
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&cond->cond, &attr);
    pthread_condattr_destroy(&attr);
    return LORT_OK;
}

void lort_os_wait(lort_cond *cond, lort_mutex *mutex)
{
    pthread_cond_wait(&cond->cond, &mutex->lock);
}

void lort_os_wait_ms(lort_cond *cond, lort_mutex *mutex, uint32_t ms)
{
    const uint64_t end = lort_os_clock_ns() + (uint64_t)ms * 1000000u;
    const struct timespec until = {.tv_sec = (time_t)(end / 1000000000u),
                                   .tv_nsec = (long)(end % 1000000000u)};
    pthread_cond_timedwait(&cond->cond, &mutex->lock, &until);
}

void lort_os_wake_all(lort_cond *cond) { pthread_cond_broadcast(&cond->cond); }

void lort_os_cond_close(lort_cond *cond)
{
    if (!cond)
        return;
    pthread_cond_destroy(&cond->cond);
    free(cond);
}
