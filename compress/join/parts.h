/* parts: a finished file of a task, read part by part. Every byte is checked against its hash
 * before anybody gets it. Memory: one chunk, one record and the index of the file, whatever its
 * size.
 *
 * The room join owns what one task does beyond the work of every run, and the joining of all of
 * them (lort merge). It must not read a weight or decide what a tensor becomes. */
#ifndef LORT_COMPRESS_JOIN_PARTS_H
#define LORT_COMPRESS_JOIN_PARTS_H

#include "compress/task/files.h"

typedef struct lort_parts_file {
    lort_task_file file;
    lort_task_record task;
    lort_arena arena;
    lort_index_record index; /* of the parts of this file */
    lort_buffer start;       /* HEAD and MODEL, as they stand in the file */
    lort_buffer window;      /* for chunks */
    uint64_t end;            /* where the parts end, and the index begins */
} lort_parts_file;

/* Who gets the bytes: in order, and each part once all its bytes came. Any may be NULL. */
typedef struct lort_parts_sink {
    lort_code (*bytes)(void *ctx, const void *bytes, uint64_t n, lort_error *err);
    /* entry: of the index, in this file. The part is valid until it returns. */
    lort_code (*part)(void *ctx, const lort_part *part, const lort_index_entry *entry,
                      lort_error *err);
    void *ctx;
} lort_parts_sink;

/* Opens the file at path: reads TASK, the index, HEAD and MODEL. Where there is nothing,
 * out->file.file is NULL and the call succeeds. The struct must not move. Close it after a failure
 * too. On failure: LORT_E_DAMAGED, LORT_E_READ, LORT_E_INPUT or LORT_E_MEMORY. */
lort_code lort_parts_open(const char *path, const lort_alloc *alloc, lort_codec *codec,
                          lort_parts_file *out, lort_error *err);
/* Reads all parts. model: only its extents count. On failure also what the sink returns. */
lort_code lort_parts_read(lort_parts_file *parts, const lort_model_record *model,
                          const lort_parts_sink *sink, lort_error *err);
void lort_parts_close(lort_parts_file *parts); /* accepts a zeroed one */

#endif
