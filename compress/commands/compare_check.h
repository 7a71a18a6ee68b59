/* compare_check: what compare does before it reads a weight and after the last one: tells whether
 * two inputs can be compared, and sums up the errors. */
#ifndef LORT_COMPRESS_COMMANDS_COMPARE_CHECK_H
#define LORT_COMPRESS_COMMANDS_COMPARE_CHECK_H

#include "compress/read/input.h"
#include "compress/session/session.h"

/* A and B must have the same tensors with the same shapes. Two containers must not ask for more
 * work than their bytes allow (compress/read/work.h).
 * On failure: LORT_E_INPUT, with the tensor. */
lort_code lort_compare_check(const lort_input *a, const lort_input *b, lort_error *err);

/* Tells the session what it takes to compare all tensors of A: a pair costs its elements, and
 * progress goes with the bytes of A. The phase begins. */
void lort_compare_expect(lort_session *session, const lort_index *index);

/* Puts the worst and the mean error of the tensors into the report. */
void lort_compare_sum_up(lort_report *report);

#endif
