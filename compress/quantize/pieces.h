/* pieces: encodes the tensors of a quantizer and writes them, in order. */
#ifndef LORT_COMPRESS_QUANTIZE_PIECES_H
#define LORT_COMPRESS_QUANTIZE_PIECES_H

#include "compress/quantize/source.h"

/* Encodes the values of a worker, which are `stretch` of a tensor, as `type`, and adds to the sums
 * what the decoded values miss. out: the bytes of the stretch; NULL: they are not wanted. */
void lort_stretch_encode(const lort_quantize_worker *w, const lort_target_tensor *t,
                         const lort_dtype_info *type, lort_stretch stretch, uint8_t *out,
                         lort_error_sums *sums);
/* Writes header and tensors from piece `done` on. The publish has what is before it.
 * On failure with q->found_not_finite: LORT_E_NUMERIC; tensors hold NaN or Inf, and are marked. */
lort_code lort_pieces_write(lort_quantizer *q, uint64_t done, lort_error *err);

#endif
