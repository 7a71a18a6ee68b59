/* tensor_plan: what is planned for one extent of the input, before it is read. */
#ifndef LORT_COMPRESS_SLICE_TENSOR_PLAN_H
#define LORT_COMPRESS_SLICE_TENSOR_PLAN_H

#include "compress/coder/weighting.h"
#include "formats/types/tensor.h"

typedef struct lort_share { /* of the output, for one slice under a target for the size of all */
    double error;           /* relative, where the search starts */
    uint64_t bytes; /* of its payload, at most; factors count for LORT_FACTORS_RECORD more */
} lort_share;
#define LORT_FACTORS_RECORD 66 /* bytes of a record for the factors of a slice: about so many */

typedef struct lort_tensor_plan { /* one extent of the input */
    const lort_tensor *tensor;    /* NULL: raw bytes */
    lort_matrices shape;
    bool candidate;     /* every slice is tried; else the whole tensor is kept */
    lort_reason reason; /* why it is kept */
    /* bytes one slice's factorisation takes with as many workers as may work on it at once */
    uint64_t workspace;
    uint64_t pending;   /* bytes its encoded factors may take until they are written */
    uint64_t holds;     /* bytes its coded blocks may take until then, if there is room */
    lort_share *shares; /* [slices]; NULL: no target for the size */
    const lort_importance *importance; /* of the columns; NULL: none is known */
    bool scaled;                       /* as integers its columns are scaled by it */
} lort_tensor_plan;

/* What a step is worked in: its slices where they are tried, else the whole. */
static inline uint32_t lort_tensor_plan_slices(const lort_tensor_plan *planned)
{
    return planned->candidate ? (uint32_t)planned->shape.slices : 1;
}

#endif
