/* bytes: unaligned little-endian loads and stores, checked arithmetic, and a bounds-checked cursor
 * whose first error sticks. Every header parser reads through the cursor; none does pointer
 * arithmetic of its own. */
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

/* Checked arithmetic: false on overflow, *out untouched then. lort_align_up needs a power of two.
 */
bool lort_add_u64(uint64_t a, uint64_t b, uint64_t *out);
bool lort_mul_u64(uint64_t a, uint64_t b, uint64_t *out);
bool lort_align_up(uint64_t v, uint64_t alignment, uint64_t *out);

/* A cursor over the first `available` bytes of a file of `limit` bytes (available == limit when all
 * is mapped). Reading past `limit` is bad input; reading past `available` but inside `limit` sets
 * `wanted` so that the caller can come back with more bytes (only where a file cannot be mapped).
 * After a failure every read yields 0 / NULL. */
typedef struct lort_cursor {
    const uint8_t *data;
    uint64_t available, limit, at;
    uint64_t wanted;   /* 0, or how many bytes from the file's start a second try needs */
    lort_error *error; /* caller-owned, may be NULL */
    lort_code code;    /* LORT_OK until the first failure */
    /* code of a read past the limit: LORT_E_INPUT, or LORT_E_DAMAGED for containers */
    lort_code overrun;
} lort_cursor;

lort_cursor lort_cursor_make(const void *data, uint64_t available, uint64_t limit,
                             lort_code overrun, lort_error *err);
/* `what` names the field in messages: "truncated: 8 bytes of tensor count at offset 8, file has
 * 12". */
uint8_t lort_get_u8(lort_cursor *c, const char *what);
uint16_t lort_get_u16(lort_cursor *c, const char *what);
uint32_t lort_get_u32(lort_cursor *c, const char *what);
uint64_t lort_get_u64(lort_cursor *c, const char *what);
/* a view, NULL on failure */
const uint8_t *lort_get_bytes(lort_cursor *c, uint64_t n, const char *what);
/* Records a failure at the cursor (unless one sticks already): adds " at offset N". Returns the
 * sticking code. */
lort_code lort_cursor_fail(lort_cursor *c, const char *format, ...) LORT_PRINTF(2, 3);

#endif
