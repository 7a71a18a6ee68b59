/* files: the files that tasks leave beside the output: their names, and records of them.
 *
 * Names are made of the output, the task and the number of tasks. A directory is not listed for
 * them: on a network its list may be old. */
#ifndef LORT_COMPRESS_TASK_FILES_H
#define LORT_COMPRESS_TASK_FILES_H

#include "formats/container/task.h"
#include "loader/store/record.h"

typedef enum lort_task_kind {
    LORT_TASK_PARTS, /* OUT.task-I-of-N */
    LORT_TASK_CURVES /* OUT.curves-I-of-N */
} lort_task_kind;

#define LORT_TASK_NAME 4200 /* bytes of a path */

/* Writes the path of a file of task `task` of `tasks` for an output. On failure: LORT_E_USAGE, the
 * path is too long. */
lort_code lort_task_path(const char *output, lort_task_kind kind, uint32_t task, uint32_t tasks,
                         char out[LORT_TASK_NAME], lort_error *err);

/* Sets *exists if something stands at the path of the output of all tasks. On failure: the error of
 * its directory. */
lort_code lort_task_look(const char *output, bool *exists, lort_error *err);

/* A file of a task, open for reading. */
typedef struct lort_task_file {
    lort_file *file; /* NULL: there is none */
    uint64_t size;
    lort_record_source source; /* its records; views fail with LORT_E_DAMAGED behind the end */
} lort_task_file;

/* Opens the file at `path`. Where there is nothing, out->file is NULL and the call succeeds. The
 * struct must not move while it is open. On failure: LORT_E_READ, or LORT_E_INPUT if it is no
 * regular file. */
lort_code lort_task_open(const char *path, const lort_alloc *alloc, lort_codec *codec,
                         lort_task_file *out, lort_error *err);
/* Reads the TASK record at the end. On failure: LORT_E_DAMAGED, or LORT_E_READ. */
lort_code lort_task_read(const lort_task_file *file, lort_task_record *out, lort_error *err);
void lort_task_close(lort_task_file *file); /* accepts a zeroed one */

#endif
