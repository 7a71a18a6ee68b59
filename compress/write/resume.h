/* resume: what an earlier run finished. A PART record follows its payload, so the unfinished output
 * itself tells: parts are read in order, every chunk against its hash and, where the input was
 * touched since, the source against its; up to the first that is torn or damaged they are taken
 * over. */
#ifndef LORT_COMPRESS_WRITE_RESUME_H
#define LORT_COMPRESS_WRITE_RESUME_H

#include "compress/write/emit.h"
#include "compress/write/journal.h"

/* Figures of a finished tensor that its record does not hold. */
lort_code lort_resume_note(const lort_decider *decider, uint64_t extent,
                           const lort_tensor_report *report, lort_error *err);
/* After lort_emit_open. *done: extents 0 .. *done - 1 need no work; the emitter and the report have
 * them. What cannot be used is cut off. LORT_E_READ: the input is not what a finished part was made
 * from, and going on was asked for. */
lort_code lort_resume(const lort_decider *decider, const lort_work_plan *plan,
                      lort_publish *publish, lort_emitter *emitter, uint64_t *done,
                      lort_error *err);

#endif
