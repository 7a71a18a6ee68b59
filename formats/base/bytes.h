/* bytes: unaligned little-endian loads and stores, checked arithmetic, and a bounds-checked
 * cursor. Every parser of a header reads through the cursor. No parser does pointer arithmetic of
 * its own. */
#ifndef LORT_FORMATS_BASE_BYTES_H
#define LORT_FORMATS_BASE_BYTES_H

#include "formats/base/error.h"
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static inline uint16_t lort_load_u16(const void *p)
{
    const uint8_t *b = p;
    return (uint16_t)(b[0] | b[1] << 8);
}
static inline uint32_t lort_load_u32(const void *p)
{
    const uint8_t *b = p;
    return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}
static inline uint64_t lort_load_u64(const void *p)
{
    return lort_load_u32(p) | (uint64_t)lort_load_u32((const uint8_t *)p + 4) << 32;
}
static inline void lort_store_u16(void *p, uint16_t v)
{
    uint8_t *b = p;
    b[0] = (uint8_t)v;
    b[1] = (uint8_t)(v >> 8);
}
static inline void lort_store_u32(void *p, uint32_t v)
{
    lort_store_u16(p, (uint16_t)v);
    lort_store_u16((uint8_t *)p + 2, (uint16_t)(v >> 16));
}
static inline void lort_store_u64(void *p, uint64_t v)
{
    lort_store_u32(p, (uint32_t)v);
    lort_store_u32((uint8_t *)p + 4, (uint32_t)(v >> 32));
}

/* Checked arithmetic. Each returns false on overflow and then leaves *out as it is. lort_align_up
 * rounds v up to a multiple of `alignment`, a power of two. */
bool lort_add_u64(uint64_t a, uint64_t b, uint64_t *out);
bool lort_mul_u64(uint64_t a, uint64_t b, uint64_t *out);
bool lort_align_up(uint64_t v, uint64_t alignment, uint64_t *out);
uint64_t lort_gcd(uint64_t a, uint64_t b); /* the greatest common divisor; gcd(a, 0) = a */

/* A cursor over the first `available` bytes of a file of `limit` bytes. The two are equal if the
 * whole file is mapped. A read past `limit` is a failure. So is a read past `available`, but it
 * sets `wanted`: the caller can come back with more bytes. This happens only where a file cannot be
 * mapped. The cursor keeps its first failure; after it every read returns 0 or NULL. */
typedef struct lort_cursor {
    const uint8_t *data;
    uint64_t available, limit, at;
    uint64_t wanted;   /* 0, or the bytes from the start of the file that a second try needs */
    lort_error *error; /* owned by the caller, may be NULL */
    lort_code code;    /* LORT_OK until the first failure */
    /* The code of every failure: LORT_E_INPUT, or LORT_E_DAMAGED for containers. */
    lort_code overrun;
} lort_cursor;

lort_cursor lort_cursor_make(const void *data, uint64_t available, uint64_t limit,
                             lort_code overrun, lort_error *err);
/* Each reads one value and moves the cursor behind it. what: names the field in a message, such as
 * "truncated: tensor count needs 8 bytes at offset 8, the file ends at 12". */
uint8_t lort_get_u8(lort_cursor *c, const char *what);
uint16_t lort_get_u16(lort_cursor *c, const char *what);
uint32_t lort_get_u32(lort_cursor *c, const char *what);
uint64_t lort_get_u64(lort_cursor *c, const char *what);
/* Returns a view of n bytes, or NULL on failure. */
const uint8_t *lort_get_bytes(lort_cursor *c, uint64_t n, const char *what);
/* Records a failure, with " at offset N" of the cursor, unless the cursor holds one already.
 * Returns the code of the failure that the cursor holds. */
lort_code lort_cursor_fail(lort_cursor *c, const char *format, ...) LORT_PRINTF(2, 3);

#endif
