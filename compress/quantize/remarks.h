/* remarks: what the report and the warnings of quantize say of the whole run. */
#ifndef LORT_COMPRESS_QUANTIZE_REMARKS_H
#define LORT_COMPRESS_QUANTIZE_REMARKS_H

#include "compress/quantize/targets.h"

void lort_remark_imatrix(lort_quantizer *q);
void lort_remark_source(lort_quantizer *q);
void lort_remark_sample(lort_quantizer *q, const lort_wishes *wishes);
/* Sizes and bits of the planned file. */
void lort_remark_size(lort_quantizer *q);
/* Warns of a size that is not filled, and of few bits. */
void lort_remark_choice(lort_quantizer *q, const lort_wishes *wishes);
/* Warns if no tensor is on the list of names. */
void lort_remark_nothing(lort_quantizer *q);
/* Names the tensors that hold NaN or Inf. */
void lort_remark_not_finite(lort_quantizer *q);
/* Warns of tensors whose weights the written type cannot hold. Call it once all are finished. */
void lort_remark_lost(lort_quantizer *q);

#endif
