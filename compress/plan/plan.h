/* plan: per-tensor decisions as data, the memory each step needs, and the mode. Made before the first weight is read. */
#ifndef LORT_COMPRESS_PLAN_H
#define LORT_COMPRESS_PLAN_H

#include "compress/factor/factor.h"
#include "compress/session/session.h"
#include "compress/coder/weighting.h"
#include "loader/model/model.h"

typedef struct lort_share { /* of the output, for one slice under a target for the size of all */
    double error;   /* relative, where the search starts */
    uint64_t bytes; /* of its payload, at most; factors count for LORT_FACTORS_RECORD more */
} lort_share;
#define LORT_FACTORS_RECORD 66 /* bytes of a record for the factors of a slice: about so many */

typedef struct lort_tensor_plan { /* one extent of the input */
    const lort_tensor *tensor; /* NULL: raw bytes */
    lort_matrices shape;
    bool factor;        /* every slice is tried; else the whole tensor is kept */
    const char *reason; /* why it is kept, or "" */
    uint64_t workspace; /* bytes one slice's factorisation takes with as many workers as may work on it at once */
    uint64_t pending;   /* bytes its encoded factors may take until they are written */
    uint64_t holds;     /* bytes its coded blocks may take until then, if there is room */
    lort_share *shares; /* [slices]; NULL: no target for the size */
    const lort_importance *importance; /* of the columns; NULL: none is known */
    bool scaled;        /* as integers its columns are scaled by it */
} lort_tensor_plan;

/* What a step is worked in: its slices where they are tried, else the whole. */
static inline uint32_t lort_tensor_plan_slices(const lort_tensor_plan *step) { return step->factor ? (uint32_t)step->shape.slices : 1; }

/* Stored bytes of one slice; its lossless form takes at most these. */
uint64_t lort_slice_bytes(const lort_tensor_plan *step);

typedef struct lort_work_plan {
    lort_tensor_plan *steps; /* [count], by extent */
    uint64_t count, candidates;
    lort_block_need blocks; /* of quantised slices */
    lort_mode mode;   /* FULL or STREAM */
    unsigned threads, window;
    unsigned abreast; /* slices in work at once: as many as threads in full mode; in stream mode one, or two where memory and page cache have room for both */
    bool team;        /* all workers may help with one slice: always in stream mode, in full mode where memory allows */
    uint64_t need, peak, limit;
    uint64_t spare;   /* of peak: for coded blocks that are held */
    uint64_t out_low, out_high; /* estimated output bytes */
    lort_share *shares;         /* of all steps that are tried */
    uint64_t share_count;
    uint64_t size_limit;        /* of the whole output; 0: none */
    lort_hash128 importance;    /* of the names and importances that are used */
    uint64_t weighed;           /* steps that have them */
} lort_work_plan;

/* LORT_E_MEMORY, naming the tensor and the smallest memory that would do, when one step does not fit. Fills the report's mode part. */
lort_code lort_plan_make(lort_session *session, const lort_model *model, const lort_options *options, lort_work_plan *plan, lort_error *err);
void lort_plan_free(lort_work_plan *plan, const lort_alloc *alloc);

/* Bytes of the output that GOAL_SIZE asks for. */
double lort_plan_size(const lort_options *options, const lort_model *model);
/* Whether matrices are coded by integers under the options. */
bool lort_plan_integers(const lort_options *options);
/* Whether they are coded by trits and low rank. */
bool lort_plan_ternary(const lort_options *options);
/* By how many eighths of an octave the error of integers is to be below that of others, by what the tensor is for (compress/goal/kinds.c); not negative where the
 * target is a bound for each error. */
int lort_plan_place(const lort_options *options, const lort_tensor *tensor);
/* The target of one matrix under the options; max_rank still without break-even. */
lort_target lort_plan_target(const lort_options *options, int64_t rows, int64_t cols);
/* The target of components beside integers: rate-distortion theory's break-even for factors of LORT_FACTOR_BITS an element. Its floor is 0. */
#define LORT_FACTOR_BITS 9
#define LORT_GAIN_RANK 64       /* or options->max_rank, if that is less */
#define LORT_GAIN_SIDE (1 << 18) /* none beyond: looking for them would take hundreds of megabytes */
lort_target lort_plan_gain(const lort_options *options, int64_t rows, int64_t cols);
/* quantise.c: most bytes fitting one slice takes at once, beside the workers' spaces and what it leaves in the outcome. */
uint64_t lort_quantise_bound(int64_t rows, int64_t cols, unsigned workers);
/* What factors beside trits are to reach, for a slice of the step that takes `lossless` bytes: RANK (0: none), GAIN, or ERROR, of the sum of both. */
lort_target lort_plan_ternary_target(const lort_options *options, const lort_tensor_plan *step, uint64_t lossless);
/* alternate.c: most bytes it takes beside the workers' spaces, the outcome it makes, one more, and those of lort_factor. */
uint64_t lort_ternary_bound(int64_t rows, int64_t cols, unsigned workers);
/* The largest rank whose factors could be smaller than `lossless` bytes: a number of a factor rarely takes less than this share of 16 bits (Q8_0 does not). */
#define LORT_FACTOR_SHRINK 0.50
#define LORT_FACTOR_LEAST 0.45 /* what it takes at the very least: noise in Q8_0, whose numbers have less than 8 bits of entropy */
int64_t lort_break_even_rank(int64_t rows, int64_t cols, uint64_t lossless_bytes);

/* Share of a kept part's bytes that its lossless form usually comes to, at best or at worst, before it is read. */
double lort_plan_share(const lort_tensor_plan *step, bool high);

/* The quality options in canonical form, for the container. */
void lort_plan_options_text(const lort_options *options, lort_buffer *out);
/* " imatrix=HASH": XXH3-128 of names and importances that are used, whatever form of file they came from. Nothing without any. */
void lort_plan_importance_text(const lort_work_plan *plan, lort_buffer *out);
/* '*' any run, '?' any one byte. */
bool lort_glob(const char *pattern, const char *name);

#endif
