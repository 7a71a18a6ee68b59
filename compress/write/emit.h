/* emit: writes one part after the other into the container, in extent order: payload chunks, then
 * the record. Memory: a window of chunk buffers, whatever the size of the tensor. */
#ifndef LORT_COMPRESS_WRITE_EMIT_H
#define LORT_COMPRESS_WRITE_EMIT_H

#include "compress/plan/plan.h"
#include "compress/slice/outcome.h"
#include "loader/store/publish.h"

typedef struct lort_emitter lort_emitter;

/* Writes the head and the model record, or adopts them where an unfinished output begins so. */
lort_code lort_emit_open(const lort_decider *decider, const lort_work_plan *plan,
                         lort_publish *publish, lort_emitter **out, lort_error *err);
/* One part: begin, its slices in order (an outcome each; raw parts and tensors kept by plan: one
 * outcome), end. */
lort_code lort_emit_begin(lort_emitter *emitter, uint64_t extent, lort_error *err);
lort_code lort_emit_slice(lort_emitter *emitter, uint32_t slice, const lort_outcome *outcome,
                          lort_error *err);
/* report: filled, NULL for raw parts */
lort_code lort_emit_end(lort_emitter *emitter, lort_tensor_report *report, lort_error *err);
/* The next part stands in the unfinished output already, payload and record of record_bytes: adopts
 * it, and fills the report of its tensor. */
lort_code lort_emit_adopt(lort_emitter *emitter, const lort_part *part, uint64_t record_bytes,
                          lort_error *err);
/* Index and footer. */
lort_code lort_emit_finish(lort_emitter *emitter, lort_error *err);
void lort_emit_close(lort_emitter *emitter); /* accepts NULL */

#endif
