/* start: the records at the beginning of a container. */
#ifndef LORT_COMPRESS_WRITE_START_H
#define LORT_COMPRESS_WRITE_START_H

#include "compress/plan/plan.h"
#include "compress/slice/slice.h"

/* Appends HEAD and MODEL. Every container of this model, these options and these library versions
 * begins with these bytes. */
lort_code lort_start_put(const lort_decider *decider, const lort_work_plan *plan, lort_buffer *out,
                         lort_error *err);
/* Computes the bytes of HEAD, MODEL and footer before any is written. */
lort_code lort_start_frame_bytes(const lort_decider *decider, const lort_work_plan *plan,
                                 uint64_t *bytes, lort_error *err);

#endif
