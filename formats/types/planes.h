/* planes: byte-plane split and join, the lossless transform before zstd. An item of w bytes is a
 * little-endian integer; `rotate` turns it left by one bit (sign to the lowest bit), so that the
 * exponent of F32, F16, BF16 and F64 fills whole top bytes. The split form is plane w-1 (top bytes)
 * first, then w-2, ..., 0. Sources: ZipNN (arXiv 2411.05239), DFloat11 (2504.11651). */
#ifndef LORT_FORMATS_TYPES_PLANES_H
#define LORT_FORMATS_TYPES_PLANES_H

#include <stdbool.h>
#include <stdint.h>

/* bytes must be a multiple of width for the split to cover it; a rest shorter than width is copied
 * behind the planes. src and dst must not overlap, any alignment. rotate is only allowed for width
 * 2, 4, 8. */
void lort_planes_split(const void *src, void *dst, uint64_t bytes, uint32_t width, bool rotate);
void lort_planes_join(const void *src, void *dst, uint64_t bytes, uint32_t width, bool rotate);

#endif
