/* os_windows_thread: threads, mutexes, condition variables, and the floating-point environment.
 *
 * Windows starts a thread with an x87 unit that rounds to 53 bits. OpenBLAS has code for that unit.
 * So without `fninit` the bytes of a container would depend on the thread that computed them. */
#include "loader/os/windows/os_windows.h"
#include <stdlib.h>
#include <string.h>
#include <xmmintrin.h>

#define DEFAULT_MXCSR 0x1f80u /* round to nearest, no traps, no flags, tiny numbers kept */
#define STACK_MIN ((uint64_t)64 << 10)

struct lort_thread {
    HANDLE handle;
    void (*run)(void *ctx);
    void *ctx;
};
struct lort_mutex {
    SRWLOCK lock;
};
struct lort_cond {
    CONDITION_VARIABLE cond;
};

typedef struct float_units {
    uint32_t x87[7]; /* what fnstenv writes */
    uint32_t mxcsr;
} float_units;

static void use_defaults(void)
{
    __asm__ volatile("fninit");
    _mm_setcsr(DEFAULT_MXCSR);
}

void lort_os_float_enter(lort_float_env *saved)
{
    float_units now;
    memset(saved, 0, sizeof *saved);
    __asm__ volatile("fnstenv %0" : "=m"(now.x87));
    now.mxcsr = _mm_getcsr();
    memcpy(saved, &now, sizeof now);
    use_defaults();
}

void lort_os_float_leave(const lort_float_env *saved)
{
    float_units was;
    memcpy(&was, saved, sizeof was);
    __asm__ volatile("fldenv %0" : : "m"(was.x87));
    _mm_setcsr(was.mxcsr);
}

static DWORD WINAPI enter_thread(void *thread)
{
    const lort_thread *self = thread;
    use_defaults();
    self->run(self->ctx);
    return 0;
}

/* Without the flag, Windows would commit the whole stack. */
lort_code lort_os_thread_start(void (*run)(void *ctx), void *ctx, uint64_t stack_bytes,
                               lort_thread **out, lort_error *err)
{
    char reason[300];
    const uint64_t stack = stack_bytes > STACK_MIN ? stack_bytes : STACK_MIN;
    *out = NULL;
    lort_thread *thread = malloc(sizeof *thread);
    if (!thread)
        return lort_fail(err, LORT_E_MEMORY, "no memory for a thread");
    *thread = (lort_thread){.run = run, .ctx = ctx};
    if (stack > SIZE_MAX / 2)
        SetLastError(ERROR_NOT_ENOUGH_MEMORY);
    else
        thread->handle = CreateThread(NULL, (SIZE_T)stack, enter_thread, thread,
                                      STACK_SIZE_PARAM_IS_A_RESERVATION, NULL);
    if (!thread->handle) {
        const DWORD why = GetLastError();
        free(thread);
        return lort_fail(err, LORT_E_MEMORY, "cannot start a thread: %s",
                         lort_os_reason(why, reason, sizeof reason));
    }
    *out = thread;
    return LORT_OK;
}

void lort_os_thread_join(lort_thread *thread)
{
    if (!thread)
        return;
    WaitForSingleObject(thread->handle, INFINITE);
    CloseHandle(thread->handle);
    free(thread);
}

lort_code lort_os_mutex_open(lort_mutex **out, lort_error *err)
{
    lort_mutex *mutex = malloc(sizeof *mutex);
    *out = mutex;
    if (!mutex)
        return lort_fail(err, LORT_E_MEMORY, "no memory for a mutex");
    InitializeSRWLock(&mutex->lock);
    return LORT_OK;
}

void lort_os_lock_mutex(lort_mutex *mutex) { AcquireSRWLockExclusive(&mutex->lock); }
void lort_os_unlock_mutex(lort_mutex *mutex) { ReleaseSRWLockExclusive(&mutex->lock); }
void lort_os_mutex_close(lort_mutex *mutex) { free(mutex); }

lort_code lort_os_cond_open(lort_cond **out, lort_error *err)
{
    lort_cond *cond = malloc(sizeof *cond);
    *out = cond;
    if (!cond)
        return lort_fail(err, LORT_E_MEMORY, "no memory for a condition variable");
    InitializeConditionVariable(&cond->cond);
    return LORT_OK;
}

void lort_os_wait(lort_cond *cond, lort_mutex *mutex)
{
    SleepConditionVariableSRW(&cond->cond, &mutex->lock, INFINITE, 0);
}
void lort_os_wait_ms(lort_cond *cond, lort_mutex *mutex, uint32_t ms)
{
    SleepConditionVariableSRW(&cond->cond, &mutex->lock, ms, 0);
}
void lort_os_wake_all(lort_cond *cond) { WakeAllConditionVariable(&cond->cond); }
void lort_os_cond_close(lort_cond *cond) { free(cond); }
