/* encode_pack: writes the integers of one block as ggml lays them out (pictures in quant.c). */
#ifndef LORT_FORMATS_TYPES_ENCODE_PACK_H
#define LORT_FORMATS_TYPES_ENCODE_PACK_H

#include "formats/types/encode_lanes.h"

typedef void lort_pack_fn(const lort_packed *in, uint8_t *block);

lort_pack_fn lort_pack_q4_0, lort_pack_q4_1, lort_pack_q5_0, lort_pack_q5_1, lort_pack_q8_0;
lort_pack_fn lort_pack_q2_k, lort_pack_q3_k, lort_pack_q4_k, lort_pack_q5_k, lort_pack_q6_k;
lort_pack_fn lort_pack_iq4_xs;

#endif
