/* emit: writes the container, one part after the other in extent order: the chunks of the payload,
 * then the record. Memory: a window of chunk buffers, whatever the size of a tensor. */
#ifndef LORT_COMPRESS_WRITE_EMIT_H
#define LORT_COMPRESS_WRITE_EMIT_H

#include "compress/plan/plan.h"
#include "compress/slice/outcome.h"
#include "loader/store/record.h"

typedef struct lort_emitter lort_emitter;

/* Opens a container and writes its HEAD and MODEL records. If the partial output already begins
 * with these bytes, LoRT adopts them instead. Free with lort_emit_close. Threads: the functions of
 * an emitter are for one thread; the pool helps inside them. */
lort_code lort_emit_open(const lort_decider *decider, const lort_work_plan *plan,
                         lort_publish *publish, lort_emitter **out, lort_error *err);
/* Writes one part: begin, then its slices in order, then end. Each slice of a candidate has an
 * outcome. A raw part or another tensor has one outcome for the whole. */
lort_code lort_emit_begin(lort_emitter *emitter, uint64_t extent, lort_error *err);
lort_code lort_emit_slice(lort_emitter *emitter, uint32_t slice, const lort_outcome *outcome,
                          lort_error *err);
/* Writes the record, and fills *report (NULL for raw parts). LORT_E_READ if the input file
 * changed. */
lort_code lort_emit_end(lort_emitter *emitter, lort_tensor_report *report, lort_error *err);
/* Takes over the next part, which the partial output already has. from: its record. Fills the
 * report of its tensor. LORT_E_DAMAGED, and nothing taken over, if the plan has other equal tensors
 * than the part. */
lort_code lort_emit_adopt(lort_emitter *emitter, const lort_part *part, const lort_record *from,
                          lort_error *err);
/* True if bytes of the input turned out not to be those that a server promised. Then the partial
 * output is cut before the first part of the file. */
bool lort_emit_distrusted(const lort_emitter *emitter); /* accepts NULL */
/* Writes index and footer; of a task, the index of its parts and the TASK record. */
lort_code lort_emit_finish(lort_emitter *emitter, lort_error *err);
void lort_emit_close(lort_emitter *emitter); /* accepts NULL */

#endif
