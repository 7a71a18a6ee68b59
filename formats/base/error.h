/* error: what went wrong, as a code the command line can exit with and one sentence a person can
 * act on.
 *
 * Every fallible function returns a lort_code and takes a caller-owned lort_error last; NULL is
 * allowed there. On failure outputs are zero, nothing is leaked and nothing is printed. The code IS
 * the exit code (docs/lort.1). */
#ifndef LORT_FORMATS_BASE_ERROR_H
#define LORT_FORMATS_BASE_ERROR_H

#include <stddef.h>

typedef enum lort_code {
    LORT_OK = 0,
    LORT_E_INTERNAL = 1, /* a defect in LoRT */
    LORT_E_USAGE = 2,    /* the call or command line is wrong */
    LORT_E_INPUT = 3,    /* an input file is malformed or unsupported */
    LORT_E_READ = 4,     /* a read failed, or the input changed while it was read */
    LORT_E_WRITE = 5,    /* a write, sync or rename failed, or there is no space */
    LORT_E_MEMORY = 6,   /* the memory budget does not hold one step of the work */
    LORT_E_NUMERIC = 7,  /* a numerical method failed, or a quality limit was missed */
    LORT_E_DAMAGED = 8,  /* a container fails its checks */
    LORT_E_EXISTS = 9,   /* the output exists or is locked */
    LORT_E_STOPPED = 75  /* stopped at a valid checkpoint */
} lort_code;

typedef struct lort_error {
    lort_code code;
    /* UTF-8, one line, always NUL-terminated; untrusted bytes in it are escaped */
    char message[1024];
} lort_error;

#if defined(__GNUC__)
#define LORT_PRINTF(f, a) __attribute__((format(printf, f, a)))
#else
#define LORT_PRINTF(f, a)
#endif

/* Fills *err (if not NULL) and returns `code`, so that `return lort_fail(err, LORT_E_INPUT, ...)`
 * reads as one thought. */
lort_code lort_fail(lort_error *err, lort_code code, const char *format, ...) LORT_PRINTF(3, 4);

/* Puts "<context>: " before the message of a failure on its way up; returns err's code
 * (LORT_E_INTERNAL if err is NULL). */
lort_code lort_error_prefix(lort_error *err, const char *format, ...) LORT_PRINTF(2, 3);

#endif
