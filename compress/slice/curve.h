/* curve: how many bits a slice takes at several errors. LoRT measures this on the middle block of
 * the slice. */
#ifndef LORT_COMPRESS_SLICE_CURVE_H
#define LORT_COMPRESS_SLICE_CURVE_H

#include "compress/slice/outcome.h"

/* Points of a curve. Point i has the relative error 2^-(i + 1). There the slice is coded as
 * integers beside the components that pay at this error. */
#define LORT_CURVE_POINTS 8
/* Bits per weight of a point that would need a step outside the allowed range. The figure is above
 * that of any lossless form. */
#define LORT_CURVE_OUT_OF_REACH 1e5
typedef struct lort_curve {
    bool raw; /* the slice can only be kept */
    /* elements; bytes of the codes; bytes of the lossless form */
    uint64_t weights, codes, lossless;
    /* Bits per weight of blocks and factors, without the codes. They never fall from point to
     * point. */
    double bits[LORT_CURVE_POINTS];
    bool only[LORT_CURVE_POINTS];         /* the components alone meet the error */
    double rank_bytes[LORT_CURVE_POINTS]; /* bytes of one component; 0: none pay */
} lort_curve;

/* Starts a curve: sets weights, a first estimate of codes, and the lossless size, measured on all
 * chunks. On failure the curve is undefined. */
lort_code lort_curve_start(lort_slice_source *source, lort_work work, lort_curve *curve,
                           lort_error *err);
/* Measures the points [first, end). factors: an outcome whose components lie beside the integers,
 * or NULL; source->factors must name the same product. Sets curve->raw if the slice cannot be coded
 * and has no factors. Uses the block space of the worker in `work`. */
lort_code lort_curve_points(lort_slice_source *source, const lort_outcome *factors, unsigned first,
                            unsigned end, lort_work work, lort_curve *curve, lort_error *err);

#endif
