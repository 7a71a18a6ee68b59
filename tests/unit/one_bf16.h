/* one_bf16: conversions of single numbers, for tests. */
#ifndef LORT_TESTS_ONE_BF16_H
#define LORT_TESTS_ONE_BF16_H

#include "formats/types/half.h"

/* Converts one bf16 number with the functions that convert many. */
static inline float one_from_bf16(uint16_t h)
{
    const uint8_t bytes[2] = {(uint8_t)h, (uint8_t)(h >> 8)};
    float f;
    lort_load_bf16(bytes, &f, 1);
    return f;
}

static inline uint16_t one_to_bf16(float f)
{
    uint8_t bytes[2];
    lort_store_bf16(&f, bytes, 1);
    return (uint16_t)(bytes[0] | bytes[1] << 8);
}

#endif
