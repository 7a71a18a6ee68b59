/* alloc: see alloc.h. An arena is a list of blocks; a buffer doubles its capacity. */
#include "formats/base/alloc.h"
#include "formats/base/bytes.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Not aligned_alloc: Windows lacks it, and its own pair needs another free. This code is pure, so
 * it cannot use loader/os. malloc gives up to 63 bytes too early, and the byte before the memory
 * says how far it was moved. */
static void *heap_take(void *ctx, size_t bytes)
{
    (void)ctx;
    uint8_t *start = bytes > SIZE_MAX - 64 ? NULL : malloc(bytes + 64);
    if (!start)
        return NULL;
    const uint8_t moved = (uint8_t)(64 - ((uintptr_t)start & 63));
    start[moved - 1] = moved;
    return start + moved;
}

static void heap_give(void *ctx, void *memory, size_t bytes)
{
    uint8_t *start = memory;
    (void)ctx;
    (void)bytes;
    if (start)
        free(start - start[-1]);
}

const lort_alloc lort_alloc_heap = {heap_take, heap_give, NULL};

lort_code lort_take(const lort_alloc *alloc, uint64_t bytes, const char *what, void **out,
                    lort_error *err)
{
    *out = NULL;
    uint64_t size = bytes ? bytes : 1;
    if (size <= PTRDIFF_MAX)
        *out = alloc->take(alloc->ctx, (size_t)size);
    if (!*out)
        return lort_fail(err, LORT_E_MEMORY, "not enough memory: %llu bytes for %s were refused",
                         (unsigned long long)bytes, what);
    return LORT_OK;
}

lort_code lort_take_zero(const lort_alloc *alloc, uint64_t bytes, const char *what, void **out,
                         lort_error *err)
{
    lort_code code = lort_take(alloc, bytes, what, out, err);
    if (code == LORT_OK)
        memset(*out, 0, (size_t)bytes);
    return code;
}

void lort_give(const lort_alloc *alloc, void *memory, uint64_t bytes)
{
    if (memory)
        alloc->give(alloc->ctx, memory, bytes ? (size_t)bytes : 1);
}

/* ---- arena ---- */

struct lort_arena_block {
    struct lort_arena_block *next;
    uint64_t size, used; /* bytes, with this head */
};

/* Bytes of the first block. Each block is twice as large as the last one, or larger if one request
 * needs it. After a block of 4 MiB or more the sizes start again. */
#define ARENA_BLOCK_MIN (32u << 10)
#define ARENA_HEAD ((sizeof(struct lort_arena_block) + 15) & ~(uint64_t)15)

static lort_code arena_grow(lort_arena *arena, uint64_t bytes, lort_error *err)
{
    uint64_t size,
        doubled = arena->blocks && arena->blocks->size < (4u << 20) ? 2 * arena->blocks->size : 0;
    void *memory;
    if (!lort_add_u64(bytes, ARENA_HEAD, &size))
        return lort_fail(err, LORT_E_MEMORY, "not enough memory: %llu bytes for a table",
                         (unsigned long long)bytes);
    size = size > doubled ? size : doubled;
    size = size > ARENA_BLOCK_MIN ? size : ARENA_BLOCK_MIN;
    lort_code code = lort_take(arena->alloc, size, "a table", &memory, err);
    if (code)
        return code;
    struct lort_arena_block *block = memory;
    *block = (struct lort_arena_block){arena->blocks, size, ARENA_HEAD};
    arena->blocks = block;
    return LORT_OK;
}

lort_code lort_arena_take(lort_arena *arena, uint64_t bytes, void **out, lort_error *err)
{
    uint64_t need;
    *out = NULL;
    if (!lort_align_up(bytes ? bytes : 1, 16, &need))
        return lort_fail(err, LORT_E_MEMORY, "not enough memory: %llu bytes for a table",
                         (unsigned long long)bytes);
    if (!arena->blocks || arena->blocks->size - arena->blocks->used < need) {
        lort_code code = arena_grow(arena, need, err);
        if (code)
            return code;
    }
    *out = (uint8_t *)arena->blocks + arena->blocks->used;
    arena->blocks->used += need;
    memset(*out, 0, (size_t)need);
    return LORT_OK;
}

lort_code lort_arena_text(lort_arena *arena, const void *bytes, size_t n, const char **out,
                          lort_error *err)
{
    void *copy;
    lort_code code = lort_arena_take(arena, (uint64_t)n + 1, &copy, err);
    *out = copy;
    if (code == LORT_OK && n)
        memcpy(copy, bytes, n);
    return code;
}

void lort_arena_free(lort_arena *arena)
{
    while (arena->blocks) {
        struct lort_arena_block *block = arena->blocks;
        arena->blocks = block->next;
        lort_give(arena->alloc, block, block->size);
    }
}

/* ---- buffer ---- */

static uint8_t *buffer_room(lort_buffer *buffer, uint64_t n)
{
    uint64_t need;
    void *memory;
    if (buffer->error.code || n == 0)
        return NULL;
    if (!lort_add_u64(buffer->size, n, &need)) {
        lort_fail(&buffer->error, LORT_E_MEMORY,
                  "not enough memory: a buffer would need 2^64 bytes or more");
        return NULL;
    }
    if (need > buffer->capacity) {
        uint64_t capacity = buffer->capacity < 1024 ? 1024 : buffer->capacity;
        while (capacity < need)
            capacity = capacity > UINT64_MAX / 2 ? need : capacity * 2;
        if (lort_take(buffer->alloc, capacity, "a buffer", &memory, &buffer->error))
            return NULL;
        if (buffer->size)
            memcpy(memory, buffer->data, (size_t)buffer->size);
        lort_give(buffer->alloc, buffer->data, buffer->capacity);
        buffer->data = memory;
        buffer->capacity = capacity;
    }
    uint8_t *room = buffer->data + buffer->size;
    buffer->size = need;
    return room;
}

void lort_put_bytes(lort_buffer *buffer, const void *bytes, uint64_t n)
{
    uint8_t *room = buffer_room(buffer, n);
    if (room && n)
        memcpy(room, bytes, (size_t)n);
}

void lort_put_zeros(lort_buffer *buffer, uint64_t n)
{
    uint8_t *room = buffer_room(buffer, n);
    if (room && n)
        memset(room, 0, (size_t)n);
}

void lort_put_u8(lort_buffer *buffer, uint8_t v) { lort_put_bytes(buffer, &v, 1); }

void lort_put_u16(lort_buffer *buffer, uint16_t v)
{
    uint8_t bytes[2];
    lort_store_u16(bytes, v);
    lort_put_bytes(buffer, bytes, sizeof bytes);
}

void lort_put_u32(lort_buffer *buffer, uint32_t v)
{
    uint8_t bytes[4];
    lort_store_u32(bytes, v);
    lort_put_bytes(buffer, bytes, sizeof bytes);
}

void lort_put_u64(lort_buffer *buffer, uint64_t v)
{
    uint8_t bytes[8];
    lort_store_u64(bytes, v);
    lort_put_bytes(buffer, bytes, sizeof bytes);
}

void lort_put_text(lort_buffer *buffer, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    uint8_t *room = n < 0 ? NULL : buffer_room(buffer, (uint64_t)n + 1);
    if (room) {
        vsnprintf((char *)room, (size_t)n + 1, format, again);
        buffer->size--; /* the NUL is not part of the text */
    }
    va_end(again);
}

lort_code lort_buffer_check(const lort_buffer *buffer, lort_error *err)
{
    if (buffer->error.code && err)
        *err = buffer->error;
    return buffer->error.code;
}

void lort_buffer_free(lort_buffer *buffer)
{
    lort_give(buffer->alloc, buffer->data, buffer->capacity);
    *buffer = (lort_buffer){.alloc = buffer->alloc};
}
