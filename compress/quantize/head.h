/* head: the header of the new file, from the headers of the input. */
#ifndef LORT_COMPRESS_QUANTIZE_HEAD_H
#define LORT_COMPRESS_QUANTIZE_HEAD_H

#include "compress/quantize/targets.h"
#include "formats/outputs/gguf_new.h"

/* Finds the headers of the weight files, and the files to write. On failure LORT_E_INPUT: the input
 * is no GGUF model, or its files are in folders. */
lort_code lort_head_open(lort_quantizer *q, lort_error *err);
/* True if the output is a directory of shards. */
bool lort_head_splits(const lort_quantizer *q);
uint64_t lort_head_bytes(const lort_quantizer *q); /* of all new headers */
uint64_t lort_head_alignment(const lort_quantizer *q);
/* What mixes ask of the model. The texts are views into the input. */
void lort_head_facts(const lort_quantizer *q, lort_mix_facts *out);
/* Makes the new headers for the types that the tensors have, and places the tensors. */
lort_code lort_head_make(lort_quantizer *q, const lort_wishes *wishes, lort_error *err);

#endif
