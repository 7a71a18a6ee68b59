/* difference: the elements of a tensor as differences to those of its base, in few bits
 * (docs/FORMAT.md, section 8, "Differences"). Pure: no I/O, no memory but the caller's. */
#ifndef LORT_FORMATS_CONTAINER_DIFFERENCE_H
#define LORT_FORMATS_CONTAINER_DIFFERENCE_H

#include "formats/types/dtype.h"

#define LORT_DIFFERENCE_CLASSES 256u
#define LORT_DIFFERENCE_SIZES 33u /* bits of the largest difference, and 0 */

/* The chance that a bit is 1: two averages in units of 2^-16, one quick and one slow. */
typedef struct lort_chance {
    uint16_t quick, slow, seen;
} lort_chance;

/* What the coder has learnt so far of the chunk in work. */
typedef struct lort_difference_space {
    lort_chance any[LORT_DIFFERENCE_CLASSES];
    lort_chance size[LORT_DIFFERENCE_CLASSES][32];
    lort_chance sign[LORT_DIFFERENCE_CLASSES][2];
    lort_chance high[LORT_DIFFERENCE_SIZES][8];
    lort_chance low[LORT_DIFFERENCE_SIZES][LORT_DIFFERENCE_SIZES];
} lort_difference_space;

/* Codes `bytes` bytes of elements of the type at `src` against those at `base`. Returns the bytes
 * of the body in dst; 0: all elements are equal. Returns UINT64_MAX if the body would have `most`
 * bytes or more. dst: `most` bytes. */
uint64_t lort_difference_encode(const lort_dtype_info *type, const uint8_t *src,
                                const uint8_t *base, uint64_t bytes, uint8_t *dst, uint64_t most,
                                lort_difference_space *space);
/* Turns the base in `data` into the elements, in place. body_bytes 0: they are equal. On failure:
 * LORT_E_DAMAGED. */
lort_code lort_difference_decode(const lort_dtype_info *type, const uint8_t *body,
                                 uint64_t body_bytes, uint8_t *data, uint64_t bytes,
                                 lort_difference_space *space, lort_error *err);

#endif
