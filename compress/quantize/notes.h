/* notes: what the journal of quantize tells of the pieces of the output, and how a later run takes
 * them over.
 *
 *   piece 0       the header
 *   piece 1 ..    the stretches of the tensors, in the order of the file
 *
 *   note of a piece    u64 bytes | XXH3-128 of them | XXH3-128 of the source as f32
 *                      | f64 sums of squares: weights, errors, both weighed by importance
 *
 * Bytes between pieces are zeros. */
#ifndef LORT_COMPRESS_QUANTIZE_NOTES_H
#define LORT_COMPRESS_QUANTIZE_NOTES_H

#include "compress/quantize/quantizer.h"

typedef struct lort_piece_note {
    uint64_t bytes;
    lort_hash128 out, source;
    lort_error_sums sums;
} lort_piece_note;

lort_code lort_notes_put(lort_quantizer *q, uint64_t number, const lort_piece_note *note,
                         lort_error *err);
/* Takes over the finished pieces of an earlier run and cuts off the rest. *done: how many. Call it
 * once the header is known. */
lort_code lort_notes_adopt(lort_quantizer *q, uint64_t *done, lort_error *err);
/* Notes which tensors hold NaN or Inf. */
lort_code lort_notes_put_kept(lort_quantizer *q, lort_error *err);
/* Marks the tensors that an earlier run found to hold NaN or Inf. */
lort_code lort_notes_take_kept(lort_quantizer *q, lort_error *err);
/* Fills the report entry of a finished tensor. */
void lort_notes_report(lort_quantizer *q, uint64_t number);

#endif
