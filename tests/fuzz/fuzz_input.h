/* Takes an input apart: numbers, and runs of bytes behind their lengths. Missing bytes read as 0 or
 * empty. An allocator that counts memory is here too. */
#ifndef LORT_TESTS_FUZZ_INPUT_H
#define LORT_TESTS_FUZZ_INPUT_H

#include "fuzz.h"
#include <stdbool.h>

typedef struct input {
    const uint8_t *at;
    size_t left;
} input;

static inline const uint8_t *input_bytes(input *in, size_t n)
{
    const uint8_t *bytes = in->at;
    CHECK(n <= in->left);
    in->at += n;
    in->left -= n;
    return bytes;
}

static inline uint8_t input_u8(input *in) { return in->left ? *input_bytes(in, 1) : 0; }

static inline uint16_t input_u16(input *in)
{
    const uint8_t low = input_u8(in);
    return (uint16_t)(low | input_u8(in) << 8);
}

/* Returns the next run: u16 length, bytes. The end of the input cuts it. */
static inline input input_run(input *in)
{
    const size_t wanted = input_u16(in), n = wanted < in->left ? wanted : in->left;
    return (input){input_bytes(in, n), n};
}

/* Returns a copy of exact size, so that ASan sees one byte too many. The copy lies `shift` bytes
 * off the alignment of malloc. Free the result minus `shift`. */
static inline uint8_t *exact_copy(const void *bytes, size_t n, unsigned shift)
{
    uint8_t *copy = malloc(n + shift ? n + shift : 1);
    CHECK(copy);
    *copy = 0;
    if (n)
        memcpy(copy + shift, bytes, n);
    return copy + shift;
}

#endif
