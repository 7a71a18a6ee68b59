/* factored: the covariance of one slice's inputs as the coder rounds with it.
 *
 *   H = V D V'      of the columns of each column of blocks; blocks do not feed each other
 *   s_k ~ D_k^(3/8) scales of columns, in quarter octaves
 *   damping         0.01 of the mean of diag H; 0.02, 0.04 ... where H is not positive definite
 *
 * V D V' is the Cholesky factor of H with rows and columns in reverse order. */
#ifndef LORT_COMPRESS_COVARIANCE_FACTORED_H
#define LORT_COMPRESS_COVARIANCE_FACTORED_H

#include "compress/coder/feedback.h"
#include "compress/covariance/covariance.h"

typedef struct lort_factored {
    lort_feedback
        *blocks;    /* one for each column of blocks; NULL: the text did not reach the slice */
    uint8_t *codes; /* [cols]: of the scales s_k */
    double mean;    /* of the diagonal of H; 0: none */
    double damping; /* the largest of the blocks */
    const lort_alloc *alloc;
    void *memory;
    uint64_t bytes;
} lort_factored;

/* Returns the bytes of a factored slice, and those that making it takes beside. */
uint64_t lort_factored_bytes(const lort_covariance *entry, const lort_matrices *shape);
/* Reads the covariance of a slice and factors it. It calls BLAS. On failure: LORT_E_MEMORY,
 * LORT_E_READ, LORT_E_INPUT, LORT_E_STOPPED, or LORT_E_NUMERIC if no damping up to 64 % helps; *out
 * is zero. Owner: the caller, who calls lort_factored_free. */
lort_code lort_factored_load(lort_covariance_file *file, const lort_covariance *entry,
                             const lort_matrices *shape, int64_t slice, lort_factored *out,
                             lort_error *err);
void lort_factored_free(lort_factored *factored); /* accepts a zeroed one */

#endif
