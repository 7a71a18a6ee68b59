/* planes: the order of bytes in the split form. This code does not know element types.
 *
 *     items (width 4, little-endian)     a0 a1 a2 a3   b0 b1 b2 b3   c0 c1 c2 c3   r
 *     split                              a3 b3 c3   a2 b2 c2   a1 b1 c1   a0 b0 c0   r
 *
 * Widths 2 and 4 go in blocks whose loops vectorise. Other widths, and the items left over, go in
 * tiles that stay in the L1 cache. */
#include "formats/types/planes.h"
#include "formats/base/bytes.h"
#include "formats/types/vectors.h"

enum { BLOCK = 64, TURNED_MAX = 8 };

/* Rotations by `turn` bits, 0 or 1. */
static inline uint16_t left16(uint16_t x, uint32_t turn)
{
    return (uint16_t)((uint32_t)x << turn | (uint32_t)x >> (16 - turn));
}
static inline uint16_t right16(uint16_t x, uint32_t turn)
{
    return (uint16_t)((uint32_t)x >> turn | (uint32_t)x << (16 - turn));
}
static inline uint32_t left32(uint32_t x, uint32_t turn)
{
    return x << turn | x >> ((32 - turn) & 31);
}
static inline uint32_t right32(uint32_t x, uint32_t turn)
{
    return x >> turn | x << ((32 - turn) & 31);
}

static inline void split2(const uint8_t *restrict src, uint8_t *restrict top, uint8_t *restrict low,
                          uint32_t turn)
{
    for (int k = 0; k < BLOCK; k++) {
        const uint16_t x = left16(lort_load_u16(src + 2 * k), turn);
        top[k] = (uint8_t)(x >> 8);
        low[k] = (uint8_t)x;
    }
}

static inline void join2(const uint8_t *restrict top, const uint8_t *restrict low,
                         uint8_t *restrict dst, uint32_t turn)
{
    for (int k = 0; k < BLOCK; k++)
        lort_store_u16(dst + 2 * k, right16((uint16_t)(top[k] << 8 | low[k]), turn));
}

static inline void split4(const uint8_t *restrict src, uint8_t *restrict p3, uint8_t *restrict p2,
                          uint8_t *restrict p1, uint8_t *restrict p0, uint32_t turn)
{
    for (int k = 0; k < BLOCK; k++) {
        const uint32_t x = left32(lort_load_u32(src + 4 * k), turn);
        p3[k] = (uint8_t)(x >> 24);
        p2[k] = (uint8_t)(x >> 16);
        p1[k] = (uint8_t)(x >> 8);
        p0[k] = (uint8_t)x;
    }
}

static inline void join4(const uint8_t *restrict p3, const uint8_t *restrict p2,
                         const uint8_t *restrict p1, const uint8_t *restrict p0,
                         uint8_t *restrict dst, uint32_t turn)
{
    for (int k = 0; k < BLOCK; k++) {
        const uint32_t x =
            (uint32_t)p3[k] << 24 | (uint32_t)p2[k] << 16 | (uint32_t)p1[k] << 8 | p0[k];
        lort_store_u32(dst + 4 * k, right32(x, turn));
    }
}

/* Turns an item of `width` <= 8 bytes by one bit. shift_up, shift_down: 1 and 8 width - 1 for a
 * turn to the left, swapped for a turn to the right. */
static void turn_item(const uint8_t *src, uint8_t *dst, uint32_t width, uint32_t shift_up,
                      uint32_t shift_down)
{
    uint64_t x = 0;
    for (uint32_t b = 0; b < width; b++)
        x |= (uint64_t)src[b] << 8 * b;
    x = x << shift_up | x >> shift_down;
    for (uint32_t b = 0; b < width; b++)
        dst[b] = (uint8_t)(x >> 8 * b);
}

/* Splits `count` items at src. planes: the place of byte 0 of the first item; the plane of byte 0
 * is the last in memory. The plane of each higher byte lies `stride` bytes before it. */
static void split_tile(const uint8_t *restrict src, uint8_t *restrict planes, uint64_t stride,
                       uint32_t count, uint32_t width, bool rotate)
{
    uint8_t turned[BLOCK * TURNED_MAX];
    if (rotate) {
        for (uint32_t k = 0; k < count; k++)
            turn_item(src + k * width, turned + k * width, width, 1, 8 * width - 1);
        src = turned;
    }
    for (uint32_t b = 0; b < width; b++) {
        uint8_t *plane = planes - b * stride;
        for (uint32_t k = 0; k < count; k++)
            plane[k] = src[k * width + b];
    }
}

static void join_tile(const uint8_t *restrict planes, uint8_t *restrict dst, uint64_t stride,
                      uint32_t count, uint32_t width, bool rotate)
{
    for (uint32_t b = 0; b < width; b++) {
        const uint8_t *plane = planes - b * stride;
        for (uint32_t k = 0; k < count; k++)
            dst[k * width + b] = plane[k];
    }
    for (uint32_t k = 0; rotate && k < count; k++)
        turn_item(dst + k * width, dst + k * width, width, 8 * width - 1, 1);
}

/* The fast loops return the number of items that they did. */
static LORT_VECTORS_GIVING(uint64_t, split_fast,
                           (const uint8_t *src, uint8_t *dst, uint64_t items, uint32_t width,
                            uint32_t turn),
                           (src, dst, items, width, turn))
{
    uint64_t i = 0;
    for (; width == 2 && items - i >= BLOCK; i += BLOCK)
        split2(src + 2 * i, dst + i, dst + items + i, turn);
    for (; width == 4 && items - i >= BLOCK; i += BLOCK)
        split4(src + 4 * i, dst + i, dst + items + i, dst + 2 * items + i, dst + 3 * items + i,
               turn);
    return i;
}

static LORT_VECTORS_GIVING(uint64_t, join_fast,
                           (const uint8_t *src, uint8_t *dst, uint64_t items, uint32_t width,
                            uint32_t turn),
                           (src, dst, items, width, turn))
{
    uint64_t i = 0;
    for (; width == 2 && items - i >= BLOCK; i += BLOCK)
        join2(src + i, src + items + i, dst + 2 * i, turn);
    for (; width == 4 && items - i >= BLOCK; i += BLOCK)
        join4(src + i, src + items + i, src + 2 * items + i, src + 3 * items + i, dst + 4 * i,
              turn);
    return i;
}

static uint32_t tile_count(uint64_t left) { return left < BLOCK ? (uint32_t)left : BLOCK; }

void lort_planes_split(const void *src, void *dst, uint64_t bytes, uint32_t width, bool rotate)
{
    const uint8_t *in = src;
    uint8_t *out = dst;
    const uint64_t items = width > 1 ? bytes / width : 0, covered = items * width;
    rotate = rotate && width <= TURNED_MAX;
    for (uint64_t i = split_fast(in, out, items, width, rotate); i < items; i += BLOCK)
        split_tile(in + i * width, out + (width - 1) * items + i, items, tile_count(items - i),
                   width, rotate);
    if (bytes > covered)
        memcpy(out + covered, in + covered, bytes - covered);
}

void lort_planes_join(const void *src, void *dst, uint64_t bytes, uint32_t width, bool rotate)
{
    const uint8_t *in = src;
    uint8_t *out = dst;
    const uint64_t items = width > 1 ? bytes / width : 0, covered = items * width;
    rotate = rotate && width <= TURNED_MAX;
    for (uint64_t i = join_fast(in, out, items, width, rotate); i < items; i += BLOCK)
        join_tile(in + (width - 1) * items + i, out + i * width, items, tile_count(items - i),
                  width, rotate);
    if (bytes > covered)
        memcpy(out + covered, in + covered, bytes - covered);
}
