/* packed: reads blocks of integers in the packed coding, which only algorithm version 2 wrote.
 * Nothing writes it today. The rows in block.c, "codings", tell it from today's coding. Pure
 * arithmetic. Source: docs/FORMAT.md, "The packed coding". */
#ifndef LORT_COMPRESS_CODER_PACKED_H
#define LORT_COMPRESS_CODER_PACKED_H

#include "compress/coder/integers.h"
#include "formats/base/error.h"

/* Decodes a body of `bytes` bytes to out [rows][cols]. The caller sets block's rows, cols and
 * codes; this function sets base and shift. It believes nothing in the body, and reads no byte
 * behind it. On failure: LORT_E_DAMAGED; out then has any content. */
lort_code lort_packed_decode(lort_block *block, float step, const uint8_t *body, uint64_t bytes,
                             float *out, lort_error *err);

#endif
