/* importance: reads the file behind --imatrix and gives its importances to the plans of tensors.
 * coder/weighting.h says how LoRT uses them. */
#ifndef LORT_COMPRESS_PLAN_IMPORTANCE_H
#define LORT_COMPRESS_PLAN_IMPORTANCE_H

#include "compress/plan/plan.h"

/* Reads and parses the file at `path` into *imatrix, within the limit of the session. On failure
 * the message names the file. */
lort_code lort_importance_open(lort_session *session, const char *path, lort_imatrix *imatrix,
                               lort_error *err);
/* Checks that the entries have as many columns as the tensors of their names. On failure
 * LORT_E_INPUT names the file and the entry, with the figures found and allowed. */
lort_code lort_importance_check(const lort_imatrix *imatrix, const char *path,
                                const lort_index *index, lort_error *err);
/* Call this once the tensor plans have their importances. Counts these tensors, hashes all names
 * and importances that LoRT uses, and fills the report. Warns if there are none. */
lort_code lort_importance_note(lort_session *session, const char *path, lort_work_plan *plan,
                               lort_error *err);

#endif
