/* room: the memory that each slice takes, and the mode, threads and slices in work that follow from
 * it. */
#ifndef LORT_COMPRESS_PLAN_ROOM_H
#define LORT_COMPRESS_PLAN_ROOM_H

#include "compress/plan/plan.h"

/* Sets `pending` and `holds` of a candidate. */
void lort_room_pending(const lort_options *options, lort_tensor_plan *planned);
/* Chooses mode, threads, abreast and team of a plan whose tensors are known. Sets need, peak and
 * spare, and the report's mode with its reason. On failure LORT_E_MEMORY names the tensor that does
 * not fit and the smallest --memory that would do. */
lort_code lort_room_choose(lort_session *session, const lort_model *model,
                           const lort_options *options, lort_work_plan *plan, lort_error *err);

/* The memory that extents [first, end) take in stream mode with one slice in work and the threads
 * of the session. Call it before lort_room_choose: both set the workspaces of the tensors. */
uint64_t lort_room_run_bytes(const lort_session *session, const lort_options *options,
                             lort_work_plan *plan, uint64_t first, uint64_t end);

/* The mode of a run that needs `need` bytes in full mode. Puts it into the report, with its reason.
 * asked: by the user; AUTO: full if `need` is at most LORT_MEMORY_SHARE of what is available. */
lort_mode lort_room_mode(lort_session *session, lort_mode asked, uint64_t need);
/* LORT_E_MEMORY: full mode was asked for and does not fit; stream mode would. */
lort_code lort_room_refuse_full(uint64_t need, uint64_t limit, lort_error *err);

/* Bytes that a command takes in a mode with so many workers. *which: the tensor that takes the
 * most, or NULL. */
typedef uint64_t lort_room_cost_fn(void *ctx, lort_mode mode, unsigned threads,
                                   const lort_tensor **which);
/* Chooses the mode, and as many threads as fit, of a command with this cost. Sets the memory
 * figures of the report and the limit of the budget. asked, memory_bytes: by the user. On failure:
 * LORT_E_MEMORY, which names the tensor and the smallest --memory that would do. */
lort_code lort_room_fit(lort_session *session, lort_mode asked, uint64_t memory_bytes,
                        lort_room_cost_fn *cost, void *ctx, lort_mode *mode, unsigned *threads,
                        lort_error *err);

#endif
