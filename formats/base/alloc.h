/* alloc: the allocator interface. loader/budget implements it with the memory ledger; tests make it
 * fail on purpose. Freeing takes the size, so that a ledger needs no headers of its own. */
#ifndef LORT_FORMATS_BASE_ALLOC_H
#define LORT_FORMATS_BASE_ALLOC_H

#include "formats/base/error.h"
#include <stddef.h>
#include <stdint.h>

typedef struct lort_alloc {
    /* 64-byte aligned, uninitialised; NULL when refused; bytes > 0 */
    void *(*take)(void *ctx, size_t bytes);
    void (*give)(void *ctx, void *memory, size_t bytes);
    void *ctx;
} lort_alloc;

/* malloc and free, without a ledger: for tests and for the public API's small results. */
extern const lort_alloc lort_alloc_heap;

/* Takes `bytes` (0 is allowed and gives a non-NULL pointer) into *out, zeroed if `zero`.
 * LORT_E_MEMORY names `what`. */
lort_code lort_take(const lort_alloc *alloc, uint64_t bytes, const char *what, void **out,
                    lort_error *err);
lort_code lort_take_zero(const lort_alloc *alloc, uint64_t bytes, const char *what, void **out,
                         lort_error *err);
/* accepts NULL; `bytes` as it was taken */
void lort_give(const lort_alloc *alloc, void *memory, uint64_t bytes);

/* An arena: many small blocks with one lifetime. Zero-initialise with the allocator; blocks are
 * 16-byte aligned. */
typedef struct lort_arena {
    const lort_alloc *alloc;
    struct lort_arena_block *blocks;
} lort_arena;

/* zeroed */
lort_code lort_arena_take(lort_arena *arena, uint64_t bytes, void **out, lort_error *err);
/* + NUL */
lort_code lort_arena_text(lort_arena *arena, const void *bytes, size_t n, const char **out,
                          lort_error *err);
void lort_arena_free(lort_arena *arena); /* gives all blocks back; the arena may be used again */

/* A growable byte buffer, for headers and records that are written. Zero-initialise with the
 * allocator. */
typedef struct lort_buffer {
    const lort_alloc *alloc;
    uint8_t *data;
    uint64_t size, capacity;
    /* the first failure sticks: later puts do nothing; check once with lort_buffer_check */
    lort_error error;
} lort_buffer;

void lort_put_bytes(lort_buffer *buffer, const void *bytes, uint64_t n);
void lort_put_zeros(lort_buffer *buffer, uint64_t n);
void lort_put_u8(lort_buffer *buffer, uint8_t v);
void lort_put_u16(lort_buffer *buffer, uint16_t v); /* little-endian, like all that follow */
void lort_put_u32(lort_buffer *buffer, uint32_t v);
void lort_put_u64(lort_buffer *buffer, uint64_t v);
/* without a NUL */
void lort_put_text(lort_buffer *buffer, const char *format, ...) LORT_PRINTF(2, 3);
lort_code lort_buffer_check(const lort_buffer *buffer, lort_error *err);
void lort_buffer_free(lort_buffer *buffer);

#endif
