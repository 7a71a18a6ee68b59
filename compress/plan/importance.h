/* importance: reads the file behind --imatrix and gives its importances to the plans of tensors.
 * coder/weighting.h says how LoRT uses them. */
#ifndef LORT_COMPRESS_PLAN_IMPORTANCE_H
#define LORT_COMPRESS_PLAN_IMPORTANCE_H

#include "compress/covariance/covariance.h"
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

/* The same for covariances. The entry of a tensor that fits its slices, or NULL. */
const lort_covariance *lort_importance_covariance(const lort_session *session,
                                                  const lort_tensor *tensor,
                                                  const lort_matrices *shape);
/* Opens the file at `path` for the session, and checks that its entries have as many inputs as the
 * tensors of their names have columns. On failure: as lort_covariance_open, or LORT_E_INPUT, which
 * names the file, the entry and the tensor. Owner: the caller, who closes session->covariance. */
lort_code lort_importance_open_covariances(lort_session *session, const char *path,
                                           const lort_index *index, lort_error *err);
/* Reads and checks all covariances that the plan uses, hashes them, and fills the report. A warning
 * counts the tensors that have none. */
lort_code lort_importance_note_covariances(lort_session *session, const char *path,
                                           lort_work_plan *plan, lort_error *err);

#endif
