/* measure: the errors of every type that a tensor may get, on a sample of its weights. */
#ifndef LORT_COMPRESS_QUANTIZE_MEASURE_H
#define LORT_COMPRESS_QUANTIZE_MEASURE_H

#include "compress/choice/recipe.h"
#include "compress/quantize/quantizer.h"

/* The types that a tensor may get, its own among them. */
lort_type_list lort_candidates(const lort_type_list *wanted, const lort_target_tensor *t);
/* One piece in so many is measured. Tensors of few pieces are measured whole. */
#define LORT_SAMPLE_ONE_IN 16
/* Fills the errors of all tensors whose type is open. Takes those that the journal has. Marks
 * tensors that hold NaN or Inf. */
lort_code lort_measure(lort_quantizer *q, const lort_type_list *wanted, lort_error *err);

#endif
