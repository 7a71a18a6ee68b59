/* host: the state of the host program that a public call changes and gives back: the floating-point
 * environment of the calling thread and, if the call computes with BLAS, OpenBLAS's number of
 * threads.
 *
 * LoRT's bytes need rounding to nearest and tiny numbers. LoRT's own sums may overflow or be NaN,
 * which must not trap. Workers start with the environment of the thread that starts them. */
#ifndef LORT_COMPRESS_SESSION_HOST_H
#define LORT_COMPRESS_SESSION_HOST_H

#include "formats/base/error.h"
#include "loader/os/os.h"

typedef struct lort_host {
    bool entered, blas;
    lort_float_env env; /* the caller's */
} lort_host;

/* Saves the caller's floating-point environment and sets LoRT's. Call it first in a public call. */
void lort_host_enter(lort_host *host);
/* For a call that computes with BLAS, after lort_host_enter: OpenBLAS uses one thread until
 * lort_host_leave. On failure: as lort_blas_start. */
lort_code lort_host_start_blas(lort_host *host, lort_error *err);
/* Gives the caller's state back. Does nothing if the host was not entered, so every way out may
 * call it. Threads: the thread that entered. */
void lort_host_leave(lort_host *host);
/* Around a function of the caller: gives it the caller's environment, and takes it back after. */
void lort_host_lend(const lort_host *host);
void lort_host_return(lort_host *host);

#endif
