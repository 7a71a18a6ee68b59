/* given: the structs of options that a caller hands over, as this version of LoRT knows them.
 *
 * A program may be older or newer than the library. So each struct begins with its size
 * (compress/lort.h, "Structs that grow"). These functions make a full struct of it. */
#ifndef LORT_COMPRESS_GOAL_GIVEN_H
#define LORT_COMPRESS_GOAL_GIVEN_H

#include "compress/lort.h"

/* Copies a caller's struct to *out. Members that the caller does not have get their defaults. given
 * NULL: all do. A pointer among the members goes on pointing into the caller's memory; `run` of
 * verify and restore is a struct of its own, for lort_given_run.
 * report: emptied, since a command that fails here does not open it; NULL: there is none.
 * On failure: LORT_E_USAGE. The struct was not initialised, or it is newer than LoRT and sets a
 * member that LoRT does not know. */
lort_code lort_given_options(const lort_options *given, lort_options *out, lort_report *report,
                             lort_error *err);
lort_code lort_given_quantize(const lort_quantize_options *given, lort_quantize_options *out,
                              lort_report *report, lort_error *err);
lort_code lort_given_merge(const lort_merge_options *given, lort_merge_options *out,
                           lort_report *report, lort_error *err);
lort_code lort_given_extract(const lort_extract_options *given, lort_extract_options *out,
                             lort_report *report, lort_error *err);
lort_code lort_given_run(const lort_run_options *given, lort_run_options *out, lort_report *report,
                         lort_error *err);
lort_code lort_given_verify(const lort_verify_options *given, lort_verify_options *out,
                            lort_report *report, lort_error *err);
lort_code lort_given_restore(const lort_restore_options *given, lort_restore_options *out,
                             lort_report *report, lort_error *err);
lort_code lort_given_files(const lort_files_options *given, lort_files_options *out,
                           lort_error *err);

/* What the functions above do for each struct; a test calls them with structs of its own. */
typedef struct lort_given {
    const char *init;     /* the name of its init function */
    uint64_t known;       /* its size in this version */
    uint64_t first;       /* its size in the first version that had it, without padding */
    const void *defaults; /* a full struct; the first member is its size */
} lort_given;
/* Fills the first `size` bytes of *out with the defaults, and with zeros past the known size. */
void lort_given_init(const lort_given *kind, void *out, size_t size);
/* Copies *given to *out, which has kind->known bytes. */
lort_code lort_given_take(const lort_given *kind, const void *given, void *out, lort_error *err);

#endif
