/* covariance: the header of a covariance file, and the rules its numbers must keep. For each weight
 * matrix the file says how the matrix's inputs x move together, over some text. It is a GGUF file
 * that is a valid importance matrix too (formats/inputs/imatrix.h). docs/FORMAT.md, "Covariance
 * files", has the whole.
 *
 *     general.type = "imatrix"        lort.covariance.version = 1 (u32)
 *     lort.covariance.same            strings A1 B1 A2 B2 ...: matrix A has the inputs of matrix B
 *     NAME.in_sum2     F32 [n_mat, n], NAME.counts F32 [n_mat, 1], dims slowest first
 *     NAME.in_cov      F16 or F32 [n_mat, n (n + 1) / 2]: row i of the lower triangle is c_i0 ..
 * c_ii or [n, n]      the same, full; the part above the diagonal is not read; one matrix
 *     NAME.in_cov_factor  F16 or F32 [r, n]: F', c = F F' + diag(1 - sum of f^2); one matrix
 *
 *     c_ij = sum x_i x_j / sqrt(sum x_i^2 sum x_j^2)
 *
 * Room formats/activations: what files say of the inputs of matrices. Pure: it reads no file. It
 * must not know how errors are weighed. */
#ifndef LORT_FORMATS_ACTIVATIONS_COVARIANCE_H
#define LORT_FORMATS_ACTIVATIONS_COVARIANCE_H

#include "formats/base/names.h"
#include "formats/types/tensor.h"

typedef enum lort_covariance_form {
    LORT_COVARIANCE_NONE, /* importances alone */
    LORT_COVARIANCE_PACKED,
    LORT_COVARIANCE_FULL,
    LORT_COVARIANCE_FACTOR
} lort_covariance_form;

typedef struct lort_covariance {
    const char *name; /* of the weight matrix, as in GGUF models */
    uint32_t name_bytes;
    int64_t inputs, matrices;
    lort_covariance_form form;
    const lort_dtype_info *type; /* F16 or F32 */
    int64_t rank;                /* of the FACTOR form */
    const char *from;            /* the matrix that has the in_cov: this one, or another */
    uint64_t sums_at, counts_at; /* offsets in the file, of F32 [n_mat][n] and [n_mat] */
    uint64_t values_at;          /* of in_cov or in_cov_factor */
} lort_covariance;

typedef struct lort_covariances {
    lort_covariance *entries; /* in the order of the file */
    uint64_t count;
    uint64_t known; /* entries with another form than NONE */
    lort_names names;
    lort_arena arena;
} lort_covariances;

/* Parses the header. head: the first `available` of file_size bytes. If more bytes are needed, it
 * fails and sets *wanted to their number; otherwise *wanted is 0. On failure: LORT_E_INPUT, which
 * names the tensor and the place, or LORT_E_MEMORY; *out is zero. lort_covariances_free accepts
 * that. */
lort_code lort_covariances_parse(const uint8_t *head, uint64_t available, uint64_t file_size,
                                 const lort_alloc *alloc, lort_covariances *out, uint64_t *wanted,
                                 lort_error *err);
void lort_covariances_free(lort_covariances *covariances); /* accepts NULL */

/* Returns the entry for a tensor whose form is not NONE, or NULL. name: as lort_imatrix_find. */
const lort_covariance *lort_covariances_find(const lort_covariances *covariances, const char *name,
                                             uint64_t name_bytes);
/* True if the entry fits slices of this shape. */
bool lort_covariance_fits(const lort_covariance *entry, const lort_matrices *shape);

/* The stored numbers of a matrix, in lines: rows of the triangle, of the square, or of F'. */
typedef struct lort_covariance_line {
    uint64_t offset, bytes; /* in the file */
    int64_t count;          /* numbers */
} lort_covariance_line;
int64_t lort_covariance_lines(const lort_covariance *entry); /* of one matrix */
lort_covariance_line lort_covariance_line_of(const lort_covariance *entry, int64_t matrix,
                                             int64_t line);
/* Checks the numbers of a line: finite, at most 1.001, and within 0.001 of 1 on the diagonal. On
 * failure: LORT_E_INPUT, which names the tensor and the number. */
lort_code lort_covariance_check_line(const lort_covariance *entry, int64_t matrix, int64_t line,
                                     const float *values, lort_error *err);
/* Checks sum(f^2) of each input of the FACTOR form, which may be at most 1.001. */
lort_code lort_covariance_check_shares(const lort_covariance *entry, const float *shares,
                                       lort_error *err);
/* Checks the sums of squares [n] and the count of one matrix: finite, and at least 0. */
lort_code lort_covariance_check_sums(const lort_covariance *entry, int64_t matrix,
                                     const float *sums, float count, lort_error *err);

#endif
