/* covariance: the file behind --covariance: opens it, checks its numbers, and brings the covariance
 * of one matrix at a time into memory.
 *
 * The room compress/covariance owns covariances: the file, and the factors V D V' that the coder
 * rounds with. It must not read a weight or choose a target. */
#ifndef LORT_COMPRESS_COVARIANCE_COVARIANCE_H
#define LORT_COMPRESS_COVARIANCE_COVARIANCE_H

#include "compress/session/session.h"
#include "formats/activations/covariance.h"
#include "formats/base/hash.h"

typedef struct lort_covariance_file lort_covariance_file;

/* Opens the file at `path` and parses its header, within the limit of the session. On failure the
 * message names the file. *out is closed with lort_covariance_close. */
lort_code lort_covariance_open(lort_session *session, const char *path, lort_covariance_file **out,
                               lort_error *err);
void lort_covariance_close(lort_covariance_file *file); /* accepts NULL */
const lort_alloc *lort_covariance_alloc(const lort_covariance_file *file);
const lort_covariances *lort_covariance_entries(const lort_covariance_file *file);

/* Reads all numbers of an entry once, checks them and adds their bytes to the hasher. On failure:
 * LORT_E_INPUT, which names the file, the entry and the number; LORT_E_READ or LORT_E_STOPPED. */
lort_code lort_covariance_verify(lort_covariance_file *file, const lort_covariance *entry,
                                 lort_hasher *hasher, lort_error *err);

/* The mean squares of the inputs of one matrix. */
typedef struct lort_input_squares {
    double *of;  /* [inputs] */
    double mean; /* 0: the text did not reach this matrix */
} lort_input_squares;
/* Fills squares->of, room for [inputs], and the mean. row: room for [inputs]. */
lort_code lort_covariance_squares(lort_covariance_file *file, const lort_covariance *entry,
                                  int64_t matrix, float *row, lort_input_squares *squares,
                                  lort_error *err);
/* Fills h [n][n] with the correlations of inputs [first, first + n) of one matrix. row: room for
 * [inputs]; factor: room for [rank][n] of the FACTOR form. */
lort_code lort_covariance_read(lort_covariance_file *file, const lort_covariance *entry,
                               int64_t matrix, int64_t first, int64_t n, float *row, float *factor,
                               float *h, lort_error *err);

#endif
