/* planes: splits bytes into byte planes and joins them, the lossless transform before zstd. An item
 * of w bytes is a little-endian integer. `rotate` turns an item left by one bit, so that the sign
 * comes to the lowest bit. Then the exponent of F32, F16, BF16 and F64 fills whole top bytes. The
 * split form has plane w-1 (top bytes) first, then w-2, ..., 0. Sources: ZipNN (arXiv 2411.05239),
 * DFloat11 (2504.11651). */
#ifndef LORT_FORMATS_TYPES_PLANES_H
#define LORT_FORMATS_TYPES_PLANES_H

#include <stdbool.h>
#include <stdint.h>

/* bytes: any number; a rest shorter than `width` is copied behind the planes. rotate: only for
 * width 2, 4 and 8. src and dst: any alignment, no overlap. */
void lort_planes_split(const void *src, void *dst, uint64_t bytes, uint32_t width, bool rotate);
void lort_planes_join(const void *src, void *dst, uint64_t bytes, uint32_t width, bool rotate);

#endif
