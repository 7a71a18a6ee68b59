/* error: LoRT's error codes, and the record that carries one error message.
 *
 * Room formats/base: owns errors, the allocator interface, the byte cursor, texts, names and
 * hashes. It must not know a file format.
 *
 * Every function that can fail returns a lort_code. Its last argument is a lort_error that the
 * caller owns; NULL is allowed. On failure outputs are zero and no memory is leaked. No function
 * prints. The code is the exit code of the command line (docs/lort.1). */
#ifndef LORT_FORMATS_BASE_ERROR_H
#define LORT_FORMATS_BASE_ERROR_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum lort_code {
    LORT_OK = 0,
    LORT_E_INTERNAL = 1, /* a defect in LoRT */
    LORT_E_USAGE = 2,    /* the call or command line is wrong */
    LORT_E_INPUT = 3,    /* an input file is malformed or unsupported */
    LORT_E_READ = 4,     /* a read failed, or the input changed while it was read */
    LORT_E_WRITE = 5,    /* a write, sync or rename failed, or there is no space */
    LORT_E_MEMORY = 6,   /* the memory budget is too small for one piece of the work */
    LORT_E_NUMERIC = 7,  /* a numerical method failed, or a quality limit was missed */
    LORT_E_DAMAGED = 8,  /* a container fails its checks */
    LORT_E_EXISTS = 9,   /* the output exists or is locked */
    LORT_E_STOPPED = 75  /* stopped at a checkpoint; a later run can resume */
} lort_code;

typedef struct lort_error {
    lort_code code;
    /* one line of UTF-8, always NUL-terminated; bytes from outside are escaped */
    char message[1024];
    /* The file and the tensor that failed, escaped as the texts of a report; "": none, or unknown.
     * A text that is too long is cut. */
    char file[512], tensor[256];
    char reserved[252]; /* for members to come; LoRT neither reads nor sets it */
} lort_error;

/* "usage", "input", "read", ...: one word for a code, for programs; "" for LORT_OK. */
const char *lort_code_name(lort_code code);

#if defined(__MINGW32__) /* its own printf knows %zu, but the compiler thinks of Microsoft's */
#define LORT_PRINTF(f, a) __attribute__((format(gnu_printf, f, a)))
#elif defined(__GNUC__)
#define LORT_PRINTF(f, a) __attribute__((format(printf, f, a)))
#else
#define LORT_PRINTF(f, a)
#endif

/* Puts code and message into *err, with no file and no tensor, and returns `code`. So a caller can
 * write `return lort_fail(err, LORT_E_INPUT, ...)`. err: NULL is allowed. A message that is too
 * long is cut. */
lort_code lort_fail(lort_error *err, lort_code code, const char *format, ...) LORT_PRINTF(3, 4);

/* Puts "<context>: " in front of the message in *err, while a failure goes up to the caller.
 * Returns the code in *err, or LORT_E_INTERNAL if err is NULL. */
lort_code lort_error_prefix(lort_error *err, const char *format, ...) LORT_PRINTF(2, 3);

/* Puts "PATH: " in front of the message, unless it names the path already: at its beginning, or in
 * quotes. Also notes the file. */
lort_code lort_error_path(lort_error *err, const char *path);

/* Note the file or the tensor that failed, while a failure goes up to the caller. The first name
 * stays: it is the nearest to the fault. They change nothing if err is NULL or holds no failure. */
void lort_error_file(lort_error *err, const char *path);
void lort_error_tensor(lort_error *err, const void *name, size_t bytes);
/* The file that was noted is named as its directory lists it: puts the directory in front. */
void lort_error_inside(lort_error *err, const char *directory, size_t bytes);

#ifdef __cplusplus
}
#endif
#endif
