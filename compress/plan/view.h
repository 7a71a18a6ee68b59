/* view: which matrices LoRT makes of a tensor, by its shape and --min-dim. */
#ifndef LORT_COMPRESS_PLAN_VIEW_H
#define LORT_COMPRESS_PLAN_VIEW_H

#include "compress/lort.h"
#include "formats/types/tensor.h"

typedef struct lort_view {
    lort_matrices shape;
    bool convolution; /* one matrix: dims[0] rows, all other dims columns */
    bool small;       /* a side of the slices is below min_dim: kept unless --include names it */
} lort_view;

/* A convolution is one matrix, if both sides reach min_dim. A stack whose slices reach min_dim is
 * one matrix for each slice. A stack of smaller slices is one matrix too, so that no slice costs
 * more records than it has bytes: the squarer of dims[0] x rest, and leading dims x last dim. */
lort_view lort_view_of(const lort_options *options, const lort_tensor *tensor);

#endif
