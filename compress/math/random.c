/* random: see random.h. Philox4x32-10 with the constants of Salmon, Moraes, Dror & Shaw, "Parallel
 * random numbers: as easy as 1, 2, 3", SC'11. It uses integers only, so every machine draws the
 * same numbers. It has no state and no libm. */
#include "compress/math/random.h"

#define SIGNS_PER_BLOCK 128

static void philox_round(uint32_t x[4], uint32_t key0, uint32_t key1)
{
    uint64_t p0 = (uint64_t)0xD2511F53u * x[0], p1 = (uint64_t)0xCD9E8D57u * x[2];
    uint32_t x1 = x[1], x3 = x[3];

    x[0] = (uint32_t)(p1 >> 32) ^ x1 ^ key0;
    x[1] = (uint32_t)p1;
    x[2] = (uint32_t)(p0 >> 32) ^ x3 ^ key1;
    x[3] = (uint32_t)p0;
}

void lort_philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t x[4] = {counter[0], counter[1], counter[2], counter[3]};
    uint32_t key0 = key[0], key1 = key[1];

    for (int round = 0; round < 10; round++) {
        philox_round(x, key0, key1);
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
    for (int i = 0; i < 4; i++)
        out[i] = x[i];
}

static void philox_at(uint64_t key, uint64_t low, uint64_t high, uint32_t out[4])
{
    const uint32_t counter[4] = {(uint32_t)low, (uint32_t)(low >> 32), (uint32_t)high,
                                 (uint32_t)(high >> 32)};
    const uint32_t keys[2] = {(uint32_t)key, (uint32_t)(key >> 32)};

    lort_philox4x32(counter, keys, out);
}

uint64_t lort_matrix_key(uint64_t seed, uint64_t name_hash, uint64_t slice)
{
    uint32_t x[4];

    philox_at(seed, name_hash, slice, x);
    return x[0] | (uint64_t)x[1] << 32;
}

/* Column c of a row takes bit c % 128 of the draw at (row, c / 128). So one draw serves 128 signs.
 */
static void row_signs(uint64_t key, int64_t row, int64_t first, int64_t n, float *out)
{
    uint32_t x[4] = {0};

    for (int64_t i = 0; i < n; i++) {
        int64_t bit = (first + i) % SIGNS_PER_BLOCK;
        if (i == 0 || bit == 0)
            philox_at(key, (uint64_t)((first + i) / SIGNS_PER_BLOCK), (uint64_t)row, x);
        out[i] = x[bit / 32] >> (bit % 32) & 1 ? 1.0f : -1.0f;
    }
}

void lort_random_signs(uint64_t key, int64_t first_row, int64_t first_col, int64_t rows,
                       int64_t cols, float *out)
{
    for (int64_t r = 0; r < rows; r++)
        row_signs(key, first_row + r, first_col, cols, out + r * cols);
}
