/* curve: what a slice would come to at several errors, measured on one block. */
#ifndef LORT_COMPRESS_SLICE_CURVE_H
#define LORT_COMPRESS_SLICE_CURVE_H

#include "compress/slice/outcome.h"

/* What a slice would cost as integers beside the components that pay, at relative errors 2^-1,
 * 2^-2, ...: measured on its middle block. */
#define LORT_CURVE_POINTS 8
/* bits per weight of a point where no step is that integers may have: more than any lossless form
 */
#define LORT_CURVE_OUT_OF_REACH 1e5
typedef struct lort_curve {
    bool raw;                          /* it can only be kept */
    uint64_t weights, codes, lossless; /* codes, lossless: bytes */
    /* per weight, beside the codes: blocks and factors; not falling */
    double bits[LORT_CURVE_POINTS];
    bool only[LORT_CURVE_POINTS];         /* components do it all there */
    double rank_bytes[LORT_CURVE_POINTS]; /* of a component; 0: none pay */
} lort_curve;

/* All but the points. */
lort_code lort_curve_start(lort_slice_source *source, lort_work work, lort_curve *curve,
                           lort_error *err);
/* Points [first, end), beside the factors of an outcome (NULL: none), which source->factors names
 * too. */
lort_code lort_curve_points(lort_slice_source *source, const lort_outcome *factors, unsigned first,
                            unsigned end, lort_work work, lort_curve *curve, lort_error *err);

#endif
