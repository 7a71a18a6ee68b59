/* safetensors_new: makes the header of a new safetensors file, and writes texts as JSON. */
#ifndef LORT_FORMATS_OUTPUTS_SAFETENSORS_NEW_H
#define LORT_FORMATS_OUTPUTS_SAFETENSORS_NEW_H

#include "formats/types/tensor.h"

/* Appends a text in quotes. Bytes that are no UTF-8 are escaped as LoRT escapes names. */
void lort_put_json_text(lort_buffer *out, const char *text);
/* Appends the length and the header of a file with these tensors, whose data lies in this order
 * without gaps. Name, dims, type and bytes of a tensor count. offsets[i]: where tensor i begins in
 * the file. On failure: LORT_E_USAGE for a type that safetensors lacks, LORT_E_INPUT for more than
 * 2^64 bytes, LORT_E_MEMORY. */
lort_code lort_safetensors_make(const lort_tensor *tensors, uint64_t count, lort_buffer *out,
                                uint64_t *offsets, uint64_t *file_size, lort_error *err);

#endif
