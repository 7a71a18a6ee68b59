/* importance: the file behind --imatrix, from its path to the steps of a plan. What is done with
 * it: weighting.h. */
#ifndef LORT_COMPRESS_PLAN_IMPORTANCE_H
#define LORT_COMPRESS_PLAN_IMPORTANCE_H

#include "compress/plan/plan.h"

/* Reads and parses into *imatrix, within `limit` bytes for all of the session. Errors name the
 * file. */
lort_code lort_importance_open(lort_session *session, const char *path, uint64_t limit,
                               lort_imatrix *imatrix, lort_error *err);
/* Every tensor that the file has an entry for must have as many columns: LORT_E_INPUT names the
 * file, the entry, what was found and what is allowed. */
lort_code lort_importance_check(const lort_imatrix *imatrix, const char *path,
                                const lort_index *index, lort_error *err);
/* Once steps know their importances: how many do, the hash of all that is used, and the report's
 * part. */
lort_code lort_importance_note(lort_session *session, const char *path, lort_work_plan *plan,
                               lort_error *err);

#endif
