/* goal: turns the options of the user into the target of one matrix, and into the text that
 * containers hold.
 *
 * The room goal owns the targets, the kinds of tensors and the options. It sees the shape and
 * name of a tensor, and must not see a weight. */
#ifndef LORT_COMPRESS_GOAL_GOAL_H
#define LORT_COMPRESS_GOAL_GOAL_H

#include "compress/factor/factor.h"
#include "compress/goal/kinds.h"
#include "compress/lort.h"
#include "formats/base/bytes.h"

/* Bits of a number of a factor in Q8_0, the cost of rounding included. Decides which components pay
 * beside integers (docs/NUMERICS.md, "Components beside integers"). */
#define LORT_FACTOR_BITS 9
/* The most components beside integers, if options->max_rank is not less. */
#define LORT_GAIN_RANK 64
/* No components for longer sides: the search would take hundreds of megabytes. */
#define LORT_GAIN_SIDE (1 << 18)
/* A number of a factor rarely takes less than this share of 16 bits, in Q8_0 never (8.2 bits). So
 * no break-even rank is too low. */
#define LORT_FACTOR_SHRINK 0.50
/* The smallest share it takes: noise in Q8_0, whose numbers have less than 8 bits of entropy. */
#define LORT_FACTOR_LEAST 0.45

/* Checks that the options go together and are in range. On failure: LORT_E_USAGE. */
lort_code lort_goal_check(const lort_options *options, lort_error *err);
/* True if the options code matrices as integers. --residual auto does so for DEFAULT, ERROR, BPW
 * and SIZE. */
bool lort_goal_integers(const lort_options *options);
/* True if the options code matrices as trits, with low rank beside them. */
bool lort_goal_ternary(const lort_options *options);
/* True if the options ask for a size: BPW or SIZE. */
bool lort_goal_sized(const lort_options *options);
/* By how many eighths of an octave the error of this tensor is below that of others (goal/kinds.c);
 * 8 = half the error. Not negative where the target bounds each error. */
int lort_goal_place(const lort_options *options, const lort_kind_info *kind);
/* The largest rank whose factors could be smaller than `lossless_bytes`. */
int64_t lort_goal_break_even(int64_t rows, int64_t cols, uint64_t lossless_bytes);
/* The target of one matrix. Its max_rank does not yet consider break-even. */
lort_target lort_goal_target(const lort_options *options, int64_t rows, int64_t cols);
/* The target of components beside integers: the break-even of rate-distortion theory, with
 * LORT_FACTOR_BITS for a number of a factor. The caller sets key, aim and floor. */
lort_target lort_goal_gain(const lort_options *options, int64_t rows, int64_t cols);
/* The target of the factors beside trits, for a slice of `lossless` bytes. The kind is RANK (0: no
 * factors), GAIN or ERROR. ERROR is that of trits and factors together. */
lort_target lort_goal_ternary_target(const lort_options *options, int64_t rows, int64_t cols,
                                     uint64_t lossless);
/* Appends the quality options in their one form, for the container and the journal. The texts never
 * change. */
void lort_goal_text(const lort_options *options, lort_buffer *out);

#endif
