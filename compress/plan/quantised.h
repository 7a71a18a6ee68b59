/* quantised: finds the tensors of modules that are quantised already, by their structure.
 *
 *   packed      an integer, F8 or F4 tensor of two or more dimensions, with a companion
 *   module      of "a.b.c": "a.b"; of "x_blocks", "x_scales" and "x_bias" also "x"; a name without
 *               a dot has none
 *   companion   another tensor of the module of a packed tensor T, or one named "T.anything";
 *               of at most 8 elements per byte of T
 *
 * A quantization_config widens this: no companion is needed, every size is a companion's, and the
 * modules right below count too. */
#ifndef LORT_COMPRESS_PLAN_QUANTISED_H
#define LORT_COMPRESS_PLAN_QUANTISED_H

#include "compress/plan/facts.h"
#include "compress/slice/tensor_plan.h"

/* Sets marks[i] of tensors without a mark to PACKED or COMPANION. *method: the method as the names
 * of companions tell it, or "". Time and memory are linear in the number of tensors. */
lort_code lort_quantised_mark(const lort_index *index, const lort_facts *facts,
                              const lort_alloc *alloc, uint8_t *marks, const char **method,
                              lort_error *err);

#endif
