/* fitting: the data that the searches for integers share: energies of rows and columns of a slice,
 * their codes, and sums of errors. All passes read the slice by blocks, and add sums in block
 * order. */
#ifndef LORT_COMPRESS_SLICE_FITTING_H
#define LORT_COMPRESS_SLICE_FITTING_H

#include "compress/slice/outcome.h"
#include <math.h>

typedef struct lort_fitting_sums {
    double norm2, error2, peak; /* peak: the largest square */
    /* Squared error of coded blocks as lort_block_measure sums it. So no decision depends on
     * whether blocks are held. */
    double measured2;
    double scaled2;           /* squared error in the units of scaled rows and columns */
    lort_weighed norm, error; /* with importances or scaled rows: in the weights' own units */
    int64_t weights;          /* measured */
    uint64_t stored;          /* bytes of coded blocks */
    double *rows, *cols;      /* energies, [high] and [wide] */
} lort_fitting_sums;

typedef struct lort_fitting {
    lort_slice_source *source;
    lort_work work;
    lort_block_grid grid;
    double *row_energy, *col_energy; /* [rows], [cols] */
    /* [rows + cols], then the scales of columns and rows that the plan asks for. */
    uint8_t *codes;
    uint64_t code_count;
    lort_fitting_sums *slots, total; /* [window] */
    unsigned window;
    double norm2, peak; /* of scaled rows and columns, as the integers code them */
    /* Errors are relative to this: norm2, or where errors are weighed the weighed norm. */
    double judged2;
    int64_t one_in; /* one row in so many is measured */
    float step;
    /* The step whose sizes and errors are in `total`, and whose blocks are in `held`; 0: none. */
    float sized;
    lort_held held;
} lort_fitting;

static inline const lort_alloc *lort_fitting_alloc(const lort_fitting *f)
{
    return &f->source->decider->session->alloc;
}
static inline bool lort_fitting_is_weighed(const lort_fitting *f)
{
    return lort_slice_weighs(f->source);
}
/* The smallest and the largest step that readers accept. */
static inline float lort_fitting_step_most(const lort_fitting *f)
{
    return lort_step_most(f->source->planned->scaled);
}
static inline float lort_fitting_step_least(const lort_fitting *f)
{
    return 1 / lort_fitting_step_most(f);
}
static inline double lort_fitting_mean2(const lort_fitting *f)
{
    return f->norm2 / (double)f->grid.rows / (double)f->grid.cols;
}
static inline double lort_fitting_rms(const lort_fitting *f) { return sqrt(lort_fitting_mean2(f)); }
static inline bool lort_fitting_can_be_coded(const lort_fitting *f)
{
    return isfinite(f->norm2) && f->norm2 > 0;
}

/* of() makes a lort_fitting of the source that has no memory yet. take() takes its memory. give()
 * gives the memory back, also after take() failed. */
lort_fitting lort_fitting_of(lort_slice_source *source, lort_work work);
lort_code lort_fitting_take(lort_fitting *f, lort_error *err);
void lort_fitting_give(lort_fitting *f);
/* Reads the slice once: sums the energies, and makes the codes if the slice can be coded. */
lort_code lort_fitting_prepare(lort_fitting *f, lort_error *err);
/* Measures the bytes that the codes take in the container. */
lort_code lort_fitting_codes_bytes(const lort_fitting *f, uint64_t *bytes, lort_error *err);
/* Describes `rows` rows of the block at `place` under the codes. mean2: of the slice. */
lort_block lort_fitting_block(const lort_slice_source *source, const lort_block_place *place,
                              int64_t rows, const uint8_t *codes, double mean2);
/* The block space of the worker that a run of the pool calls `worker`. */
lort_block_space *lort_fitting_space(const lort_fitting *f, unsigned worker);
/* The squares of the weights a of a block, plain and weighed by importance. */
lort_weighed lort_fitting_weigh(const lort_fitting *f, const lort_block_place *place,
                                const float *a);
/* The squared errors of decoded weights b in place of a (lort_slice_errors). worker: of a run of
 * the pool. */
lort_code lort_fitting_errors(const lort_fitting *f, unsigned worker, const lort_block_place *place,
                              int64_t rows, const float *a, const float *b, lort_weighed *out,
                              lort_error *err);
/* The squared errors of the block that the worker has just quantised (lort_slice_coded_errors). */
lort_code lort_fitting_coded_errors(const lort_fitting *f, unsigned worker,
                                    const lort_block_place *place, int64_t rows, lort_weighed *out,
                                    lort_error *err);

#endif
