/* shares: shares of a target size. The first of two readings of the model. */
#ifndef LORT_COMPRESS_WRITE_SHARES_H
#define LORT_COMPRESS_WRITE_SHARES_H

#include "compress/plan/plan.h"
#include "compress/slice/decide.h"

/* Measures what every slice would cost at several errors, and what is kept as it is; finds the one
 * relative error at which all of it together is as large as the target of options (bpw or size);
 * and gives every slice its share of bytes at that error. Shares depend on the first reading only,
 * never on what another slice came to, so order, tasks and threads do not matter. Sets plan->shares
 * and plan->size_limit. LORT_E_NUMERIC, naming the smallest reachable size, where the target cannot
 * be met. In full mode it loads the model. */
lort_code lort_shares_give(const lort_decider *decider, lort_work_plan *plan, lort_error *err);

#endif
