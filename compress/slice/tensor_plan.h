/* tensor_plan: the plan of one extent of the input, made before LoRT reads its weights. */
#ifndef LORT_COMPRESS_SLICE_TENSOR_PLAN_H
#define LORT_COMPRESS_SLICE_TENSOR_PLAN_H

#include "compress/coder/weighting.h"
#include "compress/goal/kinds.h"
#include "formats/activations/covariance.h"
#include "formats/types/tensor.h"

typedef struct lort_share { /* bytes that a target size gives one slice */
    double error;           /* relative error where the search for the step starts */
    /* At most so many bytes of payload. Factors count LORT_FACTORS_RECORD bytes more. */
    uint64_t bytes;
} lort_share;
/* About so many bytes of the PART record describe the factors of a slice. */
#define LORT_FACTORS_RECORD 66
/* The same for blocks, beside what a kept slice needs. */
#define LORT_BLOCKS_RECORD 30

/* What a tensor is beside others of the model (compress/plan/marks.h). */
typedef enum lort_mark {
    LORT_MARK_NONE,
    LORT_MARK_PACKED,    /* the packed weight of a module that is quantised already */
    LORT_MARK_COMPANION, /* another tensor of such a module */
    LORT_MARK_ROUTER,    /* chooses experts or tokens */
    LORT_MARK_MASK,      /* a mask: a constant of the program, and no weights */
    LORT_MARK_TABLE      /* a table of positions: the same */
} lort_mark;

typedef struct lort_tensor_plan {
    const lort_tensor *tensor; /* NULL: raw bytes */
    lort_matrices shape;
    bool convolution;    /* the shape is dims[0] rows and all other dims columns */
    lort_kind_info kind; /* whose weights of errors count: of the strictest tensor of these bytes */
    lort_mark mark;
    /* The tensor has the bytes of extent `origin`, an earlier one, which alone is stored. */
    bool same;
    uint64_t origin;
    bool candidate;     /* true: every slice is tried; false: the whole tensor is kept */
    lort_reason reason; /* why it is kept */
    /* Bytes that one slice's factorisation takes with as many workers as may work on it. */
    uint64_t workspace;
    uint64_t pending; /* bytes of one slice's outcome until it is written */
    /* bytes of one slice's held blocks, if there is room +    uint32_t nothing */
    uint64_t holds;
    lort_share *shares;                /* [slices]; NULL: the target is no size */
    const lort_importance *importance; /* of the columns; NULL: unknown */
    const lort_covariance *covariance; /* of the columns; NULL: unknown. Never both. */
    /* lort_scaling: the columns of its integers are scaled by importance, its rows by their norm.
     */
    unsigned scaled;
    /* Lossless bytes of one byte of the tensor, by a sample (compress/plan/lossless.h); 0: unknown
     */
    double lossless_share;
    bool lossless_whole; /* the sample has all bytes */
    uint64_t base;       /* the number of its tensor in the base, + 1; 0: it has none */
} lort_tensor_plan;

/* True if errors count by what is known of the inputs, and not alike. */
static inline bool lort_tensor_plan_weighed(const lort_tensor_plan *planned)
{
    return planned->importance || planned->covariance;
}

/* The number of jobs of the extent: one per slice of a candidate, else one. */
static inline uint32_t lort_tensor_plan_slices(const lort_tensor_plan *planned)
{
    return planned->candidate ? (uint32_t)planned->shape.slices : 1;
}

/* False for tensors that are no weights, whose weights nobody knows, or whose weights another
 * tensor has: they do not count in bits per weight. */
static inline bool lort_tensor_plan_counts(const lort_tensor_plan *planned)
{
    return planned->tensor && !planned->same && planned->tensor->type->kind != LORT_KIND_OPAQUE &&
           (planned->candidate || planned->mark == LORT_MARK_NONE ||
            planned->mark == LORT_MARK_ROUTER);
}

#endif
