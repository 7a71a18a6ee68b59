/* targets: which tensors of a model are quantised, in which type, and where they lie in the new
 * file. */
#ifndef LORT_COMPRESS_QUANTIZE_TARGETS_H
#define LORT_COMPRESS_QUANTIZE_TARGETS_H

#include "compress/quantize/measure.h"
#include "compress/quantize/wishes.h"

/* Lists the tensors of the input, and what each is for. On failure: LORT_E_INPUT for a source that
 * is quantised already, or whose tensors are no tensors of one GGUF model. */
lort_code lort_targets_list(lort_quantizer *q, const lort_wishes *wishes, lort_error *err);
/* Gives every tensor its type. BPW, SIZE: the errors are measured. Then makes the header and places
 * the tensors. Call it again after more tensors are found to hold NaN or Inf. On failure:
 * LORT_E_NUMERIC, which names the smallest size. */
lort_code lort_targets_choose(lort_quantizer *q, const lort_wishes *wishes, lort_error *err);
/* BPW, SIZE: the share of the bytes that the output has at least, where types allow it. */
#define LORT_SIZE_USED 0.995
/* BPW, SIZE: the most bytes of the output. */
uint64_t lort_targets_limit(lort_quantizer *q);
/* Appends the choice as text for llama-quantize --tensor-type-file. */
void lort_targets_recipe(const lort_quantizer *q, lort_buffer *out);

#endif
