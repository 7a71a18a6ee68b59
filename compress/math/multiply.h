/* multiply: the product of two factors that every reader computes, to the same bits on every
 * processor. It is no BLAS: BLAS takes another order of sums for another shape or processor.
 *
 *     acc = +0
 *     for k = 0 .. rank - 1:  acc = fma(left[i][k], right[k][j], acc)
 *     out[i][j] = acc
 *
 * fma is a fused multiply-add in binary32. It rounds once, to nearest, ties to even. Tiny numbers
 * stay. Overflow gives Inf, and Inf and NaN follow IEEE 754; the bits of a NaN are free. A zero is
 * +0, unless a negative sum too small for binary32 rounds to it. Elements are independent of each
 * other, so a product may be cut anywhere. */
#ifndef LORT_COMPRESS_MATH_MULTIPLY_H
#define LORT_COMPRESS_MATH_MULTIPLY_H

#include <stdbool.h>
#include <stdint.h>

/* The two factors of a product, and the place for it. ld is the elements from row to row. */
typedef struct lort_multiplication {
    int64_t rows, cols, rank;
    const float *left; /* [rows][rank] */
    int64_t left_ld;
    const float *right; /* [rank][cols] */
    int64_t right_ld;
    float *out; /* [rows][cols] */
    int64_t out_ld;
} lort_multiplication;

/* Computes the product. Threads: any. It allocates nothing and takes 24 KiB of stack. */
void lort_multiply(const lort_multiplication *m);

/* One way to compute the product, for one kind of processor. All give the same bits. */
typedef struct lort_multiplier lort_multiplier;
/* Way `number` of this build, the quickest first; NULL behind the last. The last runs on every
 * processor. */
const lort_multiplier *lort_multiplier_at(unsigned number);
const char *lort_multiplier_name(const lort_multiplier *way); /* "avx512", "fma", "plain" */
bool lort_multiplier_runs(const lort_multiplier *way);        /* on this processor */
/* Does what lort_multiply does, in one way that runs here. For tests and benchmarks. */
void lort_multiply_by(const lort_multiplier *way, const lort_multiplication *m);

#endif
