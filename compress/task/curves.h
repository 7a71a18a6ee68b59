/* curves: the curve files of all tasks of a model. Every task reads all of them and computes the
 * shares of a target size, the same ones. No task waits for another: one that lacks curves ends. */
#ifndef LORT_COMPRESS_TASK_CURVES_H
#define LORT_COMPRESS_TASK_CURVES_H

#include "compress/task/files.h"
#include "compress/task/keys.h"

typedef struct lort_curves_from {
    const char *output;
    uint32_t task, tasks; /* of the reader */
    lort_key key;         /* of the reader */
    const lort_alloc *alloc;
    lort_codec *codec;
} lort_curves_from;

/* Takes the curve of a job of the model. */
typedef lort_code lort_curve_fn(void *ctx, uint64_t job, const uint8_t *curve, uint64_t bytes,
                                lort_error *err);

/* Reads the curve files of all tasks, in order. *touched is set if times or identities of files
 * differ in the reader's own file. On failure: LORT_E_USAGE names the tasks whose files are
 * missing, or an option that differs; LORT_E_READ an input that differs; LORT_E_DAMAGED. */
lort_code lort_curves_read(const lort_curves_from *from, lort_curve_fn *each, void *ctx,
                           bool *touched, lort_error *err);
/* Makes the bytes of a curve file. */
lort_code lort_curves_put(const lort_curves_record *curves, const lort_alloc *alloc,
                          lort_codec *codec, lort_buffer *out, lort_error *err);
/* Reads the file of one task: its record, and whether it has this key. out: views of *record, which
 * the caller frees. On failure as lort_curves_read; where there is no file *found is false. */
lort_code lort_curves_open(const lort_curves_from *from, uint32_t task, lort_record *record,
                           lort_curves_record *out, bool *found, bool *touched, lort_error *err);

#endif
