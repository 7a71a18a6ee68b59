/* compare_check: what compare does before it reads a weight and after the last one: tells whether
 * two inputs can be compared, and sums up the errors. */
#ifndef LORT_COMPRESS_COMMANDS_COMPARE_CHECK_H
#define LORT_COMPRESS_COMMANDS_COMPARE_CHECK_H

#include "compress/read/input.h"
#include "compress/session/session.h"

/* Opens A or B. On failure: the codes of lort_input_open_as. */
lort_code lort_compare_open(lort_session *session, const char *path, const lort_run_options *run,
                            lort_input *out, lort_error *err);

/* A and B must have the same tensors with the same shapes. Two containers must not ask for more
 * work than their bytes allow (compress/read/work.h).
 * On failure: LORT_E_INPUT, with the tensor. */
lort_code lort_compare_check(const lort_input *a, const lort_input *b, lort_error *err);

/* Tells the session what it takes to compare all tensors of A: a pair costs its elements, and
 * progress goes with the bytes of A. The phase begins. */
void lort_compare_expect(lort_session *session, const lort_index *index);

/* Puts format, files and bytes of A, and the bytes of B, into the report. */
void lort_compare_sides(const lort_input *a, const lort_input *b, lort_report *report);

/* Warns "NAME (F16 and Q4_K): why". */
void lort_compare_warn(lort_session *session, const lort_tensor_report *entry, const char *why);

/* The pairs of types of which a warning tells. */
typedef struct lort_compare_undecoded {
    const char *types[16][2];
    unsigned count;
} lort_compare_undecoded;
/* Warns of a tensor without an error, since LoRT has no decoder for a type. One warning a pair of
 * types; past 16 pairs, one a tensor. left, right: LoRT has a decoder for this side. */
void lort_compare_warn_undecoded(lort_session *session, lort_compare_undecoded *told,
                                 const lort_tensor_report *entry, bool left, bool right);

/* Puts the worst and the mean error of the tensors into the report. */
void lort_compare_sum_up(lort_report *report);

/* LORT_E_READ if a file of A or B changed. Warns of files from the network of which nobody knows
 * whether they are what the server promised, since LoRT did not read them in order. */
lort_code lort_compare_unchanged(lort_session *session, const lort_input *a, const lort_input *b,
                                 lort_error *err);

#endif
