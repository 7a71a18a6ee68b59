/* budget: all memory of LoRT's own code comes from one budget with one limit. The budget refuses
 * (NULL) a take that would pass the limit. Blocks of 64 KiB and more are whole pages. They go back
 * to the system when LoRT gives them back. Threads: any. */
#ifndef LORT_LOADER_MACHINE_BUDGET_H
#define LORT_LOADER_MACHINE_BUDGET_H

#include "formats/base/alloc.h"

typedef struct lort_budget lort_budget;
/* limit_bytes: UINT64_MAX = no limit. On failure: LORT_E_MEMORY. */
lort_code lort_budget_open(uint64_t limit_bytes, lort_budget **out, lort_error *err);
/* Accepts NULL. All memory must have been given back (asserted). */
void lort_budget_close(lort_budget *budget);
const lort_alloc *lort_budget_alloc(lort_budget *budget);
/* Books bytes that a library will take by itself (BLAS buffers, zstd contexts, stacks). On failure:
 * LORT_E_MEMORY; the message names `what` and the figures. */
lort_code lort_budget_reserve(lort_budget *budget, uint64_t bytes, const char *what,
                              lort_error *err);
void lort_budget_release(lort_budget *budget, uint64_t bytes);     /* gives booked bytes back */
void lort_budget_limit(lort_budget *budget, uint64_t limit_bytes); /* set once the plan knows it */
uint64_t lort_budget_used(lort_budget *budget);
uint64_t lort_budget_peak(lort_budget *budget);

#endif
