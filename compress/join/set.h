/* set: the files of all tasks of one output. They must be of one model, one set of options and one
 * number of tasks, and their runs must tile the model. */
#ifndef LORT_COMPRESS_JOIN_SET_H
#define LORT_COMPRESS_JOIN_SET_H

#include "compress/join/parts.h"
#include "compress/session/session.h"

typedef struct lort_task_set {
    lort_session *session;
    const char *output;
    uint32_t tasks;
    lort_codec *codec;      /* for reading */
    lort_task_record first; /* of task 0 */
    uint64_t *firsts;       /* [tasks + 1]: where the runs begin */
    lort_buffer start;      /* HEAD and MODEL */
    lort_arena arena;
    lort_model_record model;
    uint64_t bytes;    /* of HEAD, MODEL and all parts */
    uint64_t counted;  /* bytes that count in bits per weight */
    double fail_above; /* the strictest of all tasks; below 0: none */
    uint32_t mode;     /* permission bits that all files have */
} lort_task_set;

/* Finds the files of the output and checks that they belong together. Every record but those of
 * parts is read; lort_parts_read checks the rest. Close the set after a failure too. On failure:
 * LORT_E_INPUT names the tasks that are missing, unfinished or foreign; LORT_E_DAMAGED one that is
 * damaged. */
lort_code lort_set_find(lort_task_set *set, lort_session *session, const char *output,
                        const lort_merge_options *options, lort_error *err);
/* Opens the file of one task again. Close *out after a failure too. On failure: LORT_E_INPUT if it
 * is another file than before; else as lort_parts_open. */
lort_code lort_set_open(const lort_task_set *set, uint32_t task, lort_parts_file *out,
                        lort_error *err);
/* Puts "task I/N: " and what to do into a message. */
void lort_set_name(const lort_task_set *set, uint32_t task, lort_code code, lort_error *err);
/* Removes the files of all tasks, and their curves. Warns of a file that cannot be removed. */
void lort_set_remove(const lort_task_set *set);
void lort_set_close(lort_task_set *set); /* accepts a zeroed one */

#endif
