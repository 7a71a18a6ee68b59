/* start: the records with which a container begins. */
#ifndef LORT_COMPRESS_WRITE_START_H
#define LORT_COMPRESS_WRITE_START_H

#include "compress/plan/plan.h"
#include "compress/slice/slice.h"

/* Appends HEAD and MODEL, with which every container of this model and these options begins. */
lort_code lort_start_put(const lort_decider *decider, const lort_work_plan *plan, lort_buffer *out,
                         lort_error *err);
/* Bytes of the head, the model record and the footer, before any is written. */
lort_code lort_start_frame_bytes(const lort_decider *decider, const lort_work_plan *plan,
                                 uint64_t *bytes, lort_error *err);

#endif
