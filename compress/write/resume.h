/* resume: takes over the parts that an earlier run finished.
 *
 *   OUT.part:  HEAD MODEL | payload PART | payload PART | payload PA
 *              emit_open  | taken over   | taken over   | torn: cut off
 *
 * A PART record follows its payload, so the partial output itself says which parts are finished.
 * LoRT reads the parts in order and compares each chunk with its hash. If the journal is TOUCHED,
 * LoRT also compares the source with the hash in the record. The first part that is torn, damaged
 * or made from other bytes ends the search. */
#ifndef LORT_COMPRESS_WRITE_RESUME_H
#define LORT_COMPRESS_WRITE_RESUME_H

#include "compress/write/emit.h"
#include "compress/write/journal.h"

/* Notes in the journal the figures of a finished tensor that its record does not hold. */
lort_code lort_resume_note(const lort_decider *decider, uint64_t extent,
                           const lort_tensor_report *report, lort_error *err);
/* Takes over what it can; call it after lort_emit_open. Extents 0 to *done - 1 then need no work:
 * the emitter and the report have them. Cuts off all bytes behind them.
 *
 * On failure LORT_E_READ means that --resume was given, and the input differs from that of a
 * finished part. */
lort_code lort_resume(const lort_decider *decider, const lort_work_plan *plan,
                      lort_publish *publish, lort_emitter *emitter, uint64_t *done,
                      lort_error *err);

#endif
