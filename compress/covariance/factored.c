/* factored: see factored.h. H is made in reverse order, so that LAPACK's lower factor is V after
 * the array is reversed. The upper triangle keeps H, for another damping. */
#include "compress/covariance/factored.h"
#include "compress/coder/weighting.h"
#include "compress/math/blas.h"
#include <math.h>
#include <string.h>

#define DAMPING 0.01
#define DAMPING_MOST 0.64

/* Where the parts of the memory are: blocks, factors and weights of all, squares, a row, codes. */
typedef struct layout {
    lort_block_grid grid;
    uint64_t blocks, factors, weights, squares, row, codes, all;
} layout;

static layout layout_of(const lort_matrices *shape)
{
    layout l = {.grid = lort_block_grid_of(shape->rows, shape->cols)};
    const uint64_t cols = (uint64_t)shape->cols, wide = (uint64_t)l.grid.wide,
                   across = (uint64_t)l.grid.across;
    l.squares = across * sizeof(lort_feedback);
    l.factors = l.squares + cols * sizeof(double);
    l.weights = l.factors + across * wide * wide * sizeof(float);
    l.row = l.weights + cols * sizeof(float);
    l.codes = l.row + cols * sizeof(float);
    l.all = l.codes + cols;
    return l;
}

static uint64_t factor_bytes(const lort_covariance *entry, const layout *l)
{
    return entry->form == LORT_COVARIANCE_FACTOR
               ? (uint64_t)entry->rank * (uint64_t)l->grid.wide * sizeof(float)
               : 0;
}

uint64_t lort_factored_bytes(const lort_covariance *entry, const lort_matrices *shape)
{
    const layout l = layout_of(shape);
    return l.all + factor_bytes(entry, &l);
}

/* Turns correlations into H over its mean, in reverse order. */
static void make_covariance(float *h, int64_t n, const double *squares, double mean)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++)
            h[i * n + j] *= (float)sqrt(squares[i] / mean * (squares[j] / mean));
    for (int64_t i = 0; 2 * i < n * n - 1; i++) {
        const float last = h[n * n - 1 - i];
        h[n * n - 1 - i] = h[i];
        h[i] = last;
    }
}

/* The diagonal of H, in reverse order, plus the damping; and the lower triangle anew. */
static void damp(float *h, int64_t n, const double *squares, double mean, double damping)
{
    for (int64_t i = 0; i < n; i++) {
        h[i * n + i] = (float)(squares[n - 1 - i] / mean + damping);
        for (int64_t j = 0; j < i; j++)
            h[i * n + j] = h[j * n + i];
    }
}

/* Makes V and D of the reversed lower factor. */
static void finish(float *h, int64_t n, float *weight)
{
    for (int64_t i = 0; 2 * i < n * n - 1; i++) {
        const float last = h[n * n - 1 - i];
        h[n * n - 1 - i] = h[i];
        h[i] = last;
    }
    for (int64_t k = 0; k < n; k++)
        weight[k] = h[k * n + k];
    for (int64_t j = 0; j < n; j++)
        for (int64_t k = j; k < n; k++)
            h[j * n + k] /= weight[k];
    for (int64_t k = 0; k < n; k++)
        weight[k] *= weight[k];
}

static lort_code factor_block(lort_covariance_file *file, const lort_covariance *entry,
                              int64_t matrix, int64_t first, lort_feedback *block, float *h,
                              float *weight, float *row, float *factor,
                              const lort_input_squares *squares, lort_error *err)
{
    const int64_t n = block->cols;
    bool positive = false;
    lort_code code = lort_covariance_read(file, entry, matrix, first, n, row, factor, h, err);
    if (code)
        return code;
    make_covariance(h, n, squares->of + first, squares->mean);
    for (double damping = DAMPING; code == LORT_OK && !positive && damping <= DAMPING_MOST;
         damping *= 2) {
        damp(h, n, squares->of + first, squares->mean, damping);
        block->damping = damping;
        code = lort_spotrf(n, h, n, &positive, err);
    }
    if (code == LORT_OK && !positive)
        code = lort_fail(err, LORT_E_NUMERIC,
                         "the covariance of '%s' is not positive definite, even with %g of the "
                         "mean square added; collect it from more text",
                         entry->name, DAMPING_MOST);
    if (code == LORT_OK)
        finish(h, n, weight);
    block->factor = h;
    block->weight = weight;
    return code;
}

/* D over its geometric mean keeps all codes in their range. A power of two near that mean will do,
 * since the step makes up for the rest. */
static int mean_exponent(const float *weight, int64_t cols)
{
    int64_t sum = 0;
    for (int64_t k = 0; k < cols; k++) {
        int exponent;
        frexp(weight[k], &exponent);
        sum += exponent;
    }
    return (int)(sum / (cols > 0 ? cols : 1));
}

static void make_codes(const float *weight, int64_t cols, uint8_t *codes)
{
    const int mean = mean_exponent(weight, cols);
    for (int64_t k = 0; k < cols; k++) {
        /* lort_scale_code takes a root itself: D^(3/4) gives the code of D^(3/8) */
        const double root = sqrt(ldexp(weight[k], -mean));
        const uint8_t code = lort_scale_code(root * sqrt(root), 1);
        codes[k] = code > LORT_SCALE_MOST    ? LORT_SCALE_MOST
                   : code < LORT_SCALE_LEAST ? LORT_SCALE_LEAST
                                             : code;
    }
}

/* Takes V and D to the units of the scaled columns. */
static void scale_block(const lort_feedback *block, float *h, float *weight, const uint8_t *codes)
{
    const int64_t n = block->cols;
    for (int64_t j = 0; j < n; j++) {
        const float inverse = lort_scale_of(lort_scale_inverse(codes[j]));
        for (int64_t k = j + 1; k < n; k++)
            h[j * n + k] *= inverse * lort_scale_of(codes[k]);
        weight[j] *= inverse * inverse;
    }
}

static lort_code fill(lort_covariance_file *file, const lort_covariance *entry, int64_t slice,
                      const layout *l, float *factor, lort_factored *out, lort_error *err)
{
    uint8_t *at = out->memory;
    const int64_t wide = l->grid.wide, cols = l->grid.cols;
    float *factors = (float *)(void *)(at + l->factors),
          *weights = (float *)(void *)(at + l->weights), *row = (float *)(void *)(at + l->row);
    lort_input_squares squares = {.of = (double *)(void *)(at + l->squares)};
    const int64_t matrix = entry->matrices == 1 ? 0 : slice;
    lort_code code = lort_covariance_squares(file, entry, matrix, row, &squares, err);
    out->codes = at + l->codes;
    memset(out->codes, LORT_SCALE_ONE, (size_t)cols);
    if (code || !(squares.mean > 0))
        return code;
    out->blocks = (lort_feedback *)(void *)at;
    out->mean = squares.mean;
    for (int64_t b = 0; b < l->grid.across && code == LORT_OK; b++) {
        lort_feedback *block = &out->blocks[b];
        block->cols = cols - b * wide < wide ? cols - b * wide : wide;
        code = factor_block(file, entry, matrix, b * wide, block, factors + b * wide * wide,
                            weights + b * wide, row, factor, &squares, err);
        out->damping = block->damping > out->damping ? block->damping : out->damping;
    }
    if (code)
        return code;
    make_codes(weights, cols, out->codes);
    for (int64_t b = 0; b < l->grid.across; b++)
        scale_block(&out->blocks[b], factors + b * wide * wide, weights + b * wide,
                    out->codes + b * wide);
    return LORT_OK;
}

lort_code lort_factored_load(lort_covariance_file *file, const lort_covariance *entry,
                             const lort_matrices *shape, int64_t slice, lort_factored *out,
                             lort_error *err)
{
    const layout l = layout_of(shape);
    const lort_alloc *alloc = lort_covariance_alloc(file);
    const uint64_t extra = factor_bytes(entry, &l);
    void *factor = NULL;
    *out = (lort_factored){.alloc = alloc, .bytes = l.all};
    lort_code code = lort_take(alloc, l.all, "the factor of a covariance", &out->memory, err);
    if (code == LORT_OK && extra)
        code = lort_take(alloc, extra, "a covariance of low rank", &factor, err);
    if (code == LORT_OK)
        code = fill(file, entry, slice, &l, factor, out, err);
    lort_give(alloc, factor, factor ? extra : 0);
    if (code)
        lort_factored_free(out);
    return code;
}

void lort_factored_free(lort_factored *factored)
{
    if (factored->memory)
        lort_give(factored->alloc, factored->memory, factored->bytes);
    *factored = (lort_factored){0};
}
