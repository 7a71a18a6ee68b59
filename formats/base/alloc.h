/* alloc: the allocator interface, with arenas and growable buffers on top of it.
 * loader/machine/budget implements the interface and counts every byte against the memory budget.
 * Tests implement it so that allocations fail. A caller passes the size when it gives memory back.
 * So an allocator needs no header of its own in front of the memory. */
#ifndef LORT_FORMATS_BASE_ALLOC_H
#define LORT_FORMATS_BASE_ALLOC_H

#include "formats/base/error.h"
#include <stddef.h>
#include <stdint.h>

typedef struct lort_alloc {
    /* Returns uninitialised memory, 64-byte aligned, or NULL if it refuses; bytes > 0. */
    void *(*take)(void *ctx, size_t bytes);
    /* Takes memory back; `bytes` as it was taken. */
    void (*give)(void *ctx, void *memory, size_t bytes);
    void *ctx;
} lort_alloc;

/* The C heap, without a budget: for tests, and for small results of the public interface. */
extern const lort_alloc lort_alloc_heap;

/* Takes `bytes` bytes into *out, 64-byte aligned. lort_take_zero also sets them to zero. bytes: 0
 * is allowed and gives a pointer that is not NULL. what: names the use in the message. On failure:
 * LORT_E_MEMORY. */
lort_code lort_take(const lort_alloc *alloc, uint64_t bytes, const char *what, void **out,
                    lort_error *err);
lort_code lort_take_zero(const lort_alloc *alloc, uint64_t bytes, const char *what, void **out,
                         lort_error *err);
/* Gives memory back. memory: NULL is allowed. bytes: as they were taken. */
void lort_give(const lort_alloc *alloc, void *memory, uint64_t bytes);

/* An arena: many small pieces of memory that are freed together. Zero-initialise all but
 * `alloc`. */
typedef struct lort_arena {
    const lort_alloc *alloc;
    struct lort_arena_block *blocks;
} lort_arena;

/* Takes `bytes` bytes of zeros into *out, 16-byte aligned. On failure: LORT_E_MEMORY. */
lort_code lort_arena_take(lort_arena *arena, uint64_t bytes, void **out, lort_error *err);
/* Copies n bytes into the arena and puts a NUL behind them. On failure: LORT_E_MEMORY. */
lort_code lort_arena_text(lort_arena *arena, const void *bytes, size_t n, const char **out,
                          lort_error *err);
void lort_arena_free(lort_arena *arena); /* frees all pieces; the arena may be used again */

/* A growable byte buffer, for headers and records that LoRT writes. Zero-initialise all but
 * `alloc`. */
typedef struct lort_buffer {
    const lort_alloc *alloc;
    uint8_t *data;
    uint64_t size, capacity;
    /* The first failure stays, and later puts do nothing. So one lort_buffer_check at the end is
     * enough. */
    lort_error error;
} lort_buffer;

/* Each lort_put function appends to the buffer. Numbers are little-endian. */
void lort_put_bytes(lort_buffer *buffer, const void *bytes, uint64_t n);
void lort_put_zeros(lort_buffer *buffer, uint64_t n);
void lort_put_u8(lort_buffer *buffer, uint8_t v);
void lort_put_u16(lort_buffer *buffer, uint16_t v);
void lort_put_u32(lort_buffer *buffer, uint32_t v);
void lort_put_u64(lort_buffer *buffer, uint64_t v);
/* Appends text as printf formats it, without a NUL. */
void lort_put_text(lort_buffer *buffer, const char *format, ...) LORT_PRINTF(2, 3);
/* Returns the code of the first failure, with its message in *err, or LORT_OK. */
lort_code lort_buffer_check(const lort_buffer *buffer, lort_error *err);
void lort_buffer_free(lort_buffer *buffer);

#endif
