/* feedback: rounding that repairs its errors. The inputs of a matrix move together, so later
 * columns can make up for the error of a column.
 *
 *   E = W - Q             Q: what a reader gets
 *   H = V D V'            of the inputs; V upper triangular with ones on the diagonal, D > 0
 *   target_k = W_k + sum(j < k) E_j V_jk          column k, after columns 0 .. k - 1
 *   tr(E H E') = sum_k D_k |target_k - Q_k|^2     exactly
 *
 * Columns go in panels. The path of the trellis is settled where a panel ends. Then the errors of
 * the panel go on to all columns behind it. So neither the order of walk nor the format changes.
 * Source: docs/NUMERICS.md, "Covariances". Pure arithmetic. */
#ifndef LORT_COMPRESS_CODER_FEEDBACK_H
#define LORT_COMPRESS_CODER_FEEDBACK_H

#include "compress/coder/integers.h"

/* Of the columns of one block, in units of their scales s: V_jk s_k / s_j, and D_k / s_k^2. */
struct lort_feedback {
    int64_t cols;
    const float *factor; /* [cols][cols]; what counts is above the diagonal */
    const float *weight; /* [cols]: D over the mean of the diagonal of H */
    double damping;      /* the part of that mean that was added to the diagonal of H */
};

/* What quantising a block with feedback needs beside the block. */
typedef struct lort_feedback_run {
    const lort_block *block;
    const float *weights; /* [rows][cols] of the block */
    float step;
    float factor;              /* lort_trellis_encode's row over lambda: of a row of code 128 */
    const float *col;          /* [cols]: as lort_trellis_encode's */
    const lort_levels *levels; /* that a reader will use */
    float *targets;            /* [rows][cols]: room; holds E afterwards */
    int16_t *coded;            /* gets 2 k + quantiser, as lort_trellis_encode's out, by groups */
} lort_feedback_run;

/* Quantises the block. *error2: sum of E^2; *loss: tr(E H E') over the mean of the diagonal of H,
 * of the damped H, of rows in their own units (block->row_scales). Both leave out the rounding
 * of a reader's values to f32. It calls BLAS. Threads: any, each with its own room. */
void lort_feedback_quantise(const lort_feedback_run *run, double *error2, double *loss);

#endif
