/* goal: turns the options of a person into targets of one matrix. It sees no tensor but its shape
 * and name. */
#ifndef LORT_COMPRESS_GOAL_GOAL_H
#define LORT_COMPRESS_GOAL_GOAL_H

#include "compress/factor/factor.h"
#include "compress/lort.h"
#include "formats/base/bytes.h"
#include "formats/types/tensor.h"

/* of a number of a factor, in the break-even of components beside integers */
#define LORT_FACTOR_BITS 9
/* most components beside integers; or options->max_rank, if that is less */
#define LORT_GAIN_RANK 64
/* none beyond: looking for them would take hundreds of megabytes */
#define LORT_GAIN_SIDE (1 << 18)
/* share of 16 bits that a number of a factor rarely takes less than (Q8_0 does not) */
#define LORT_FACTOR_SHRINK 0.50
/* the least it takes: noise in Q8_0, whose numbers have less than 8 bits of entropy */
#define LORT_FACTOR_LEAST 0.45

/* Whether matrices are coded by integers under the options. */
bool lort_goal_integers(const lort_options *options);
/* Whether they are coded by trits and low rank. */
bool lort_goal_ternary(const lort_options *options);
/* By how many eighths of an octave the error of integers is to be below that of others, by what the
 * tensor is for (compress/goal/kinds.c); not negative where the target is a bound for each error.
 */
int lort_goal_place(const lort_options *options, const lort_tensor *tensor);
/* The largest rank whose factors could be smaller than `lossless` bytes. */
int64_t lort_goal_break_even(int64_t rows, int64_t cols, uint64_t lossless_bytes);
/* The target of one matrix under the options; max_rank still without break-even. */
lort_target lort_goal_target(const lort_options *options, int64_t rows, int64_t cols);
/* The target of components beside integers: rate-distortion theory's break-even for factors of
 * LORT_FACTOR_BITS an element. Its floor is 0. */
lort_target lort_goal_gain(const lort_options *options, int64_t rows, int64_t cols);
/* What factors beside trits are to reach, for a slice that takes `lossless` bytes losslessly: RANK
 * (0: none), GAIN, or ERROR, of the sum of both. */
lort_target lort_goal_ternary_target(const lort_options *options, int64_t rows, int64_t cols,
                                     uint64_t lossless);
/* The quality options in canonical form, for the container. */
void lort_goal_text(const lort_options *options, lort_buffer *out);

#endif
