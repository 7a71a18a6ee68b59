/* random: random numbers by counter, Philox4x32-10 (Salmon et al., SC'11). A number is a function
 * of (key, position) and of nothing else. */
#ifndef LORT_COMPRESS_MATH_RANDOM_H
#define LORT_COMPRESS_MATH_RANDOM_H

#include <stdint.h>

/* Draws 4 x 32 random bits for this counter and key. */
void lort_philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/* Returns the key of one matrix, from the run's seed, the hash of the tensor's name, and the slice.
 */
uint64_t lort_matrix_key(uint64_t seed, uint64_t name_hash, uint64_t slice);

/* Fills out [rows][cols] (row-major) with +1 and -1. Entry (r, c) depends only on the key,
 * first_row + r and first_col + c. */
void lort_random_signs(uint64_t key, int64_t first_row, int64_t first_col, int64_t rows,
                       int64_t cols, float *out);

#endif
