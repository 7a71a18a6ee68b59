/* task: what tasks of one model say to each other (docs/FORMAT.md, section 15). A TASK record ends
 * the file of a task, which is the middle of a container. A CURVES record holds what a task
 * measured under a target size.
 *
 *     task file  = HEAD MODEL { chunk* PART }* INDEX TASK
 *     curve file = HEAD CURVES
 */
#ifndef LORT_FORMATS_CONTAINER_TASK_H
#define LORT_FORMATS_CONTAINER_TASK_H

#include "formats/container/container.h"

#define LORT_TASK_COUNT_MOST 65536u /* tasks of one model; LORT_TASKS_MOST of lort.h */
#define LORT_TASK_BODY 176u
#define LORT_TASK_BYTES (LORT_FRAME_HEADER + LORT_TASK_BODY + LORT_FRAME_TRAILER)

typedef struct lort_task_record {
    uint32_t task, tasks; /* this one, and how many there are */
    uint64_t first, end;  /* the parts of the file: extents [first, end) */
    uint64_t extents;     /* of the model */
    lort_hash128 key;     /* of all that decides bytes, and of the input (write/journal_key.h) */
    lort_hash128 shares;  /* of the shares of a target size; zeros: the target is no size */
    lort_hash128 parts;   /* of the bodies of the PART records, in order */
    /* The target of the whole output: bytes, or bits per weight; 0: none. */
    uint64_t size_limit;
    double bpw_limit;
    uint64_t reserve;     /* bytes that the shares left unused */
    uint64_t elements;    /* of all tensors that count in bits per weight */
    uint64_t counted;     /* payloads and records of those tensors in this run */
    double fail_above;    /* as in lort_options; negative: none */
    uint32_t zstd_level;  /* of the records that end a container */
    uint64_t index_bytes; /* of the INDEX record, which ends where TASK begins */
    uint64_t file_size;
} lort_task_record;

/* The curve of one job, as bytes of compress/write. */
#define LORT_CURVE_MOST 65536u /* bytes */
typedef struct lort_curves_record {
    uint32_t task, tasks;
    uint64_t first, count; /* jobs [first, first + count) */
    const char *key;       /* text of the key, as in a journal */
    uint32_t key_bytes;
    uint32_t each;         /* bytes of a curve */
    const uint8_t *curves; /* [count][each] */
} lort_curves_record;

/* Encoders append to *out; the caller checks the buffer. */
void lort_task_record_put(const lort_task_record *task, lort_buffer *out);
void lort_curves_record_put(const lort_curves_record *curves, lort_buffer *out);
/* Decoders: they check every field and the rules between fields. curves: views of the body.
 * On failure: LORT_E_DAMAGED; *out is zero. */
lort_code lort_task_record_get(const uint8_t *body, uint64_t bytes, lort_task_record *out,
                               lort_error *err);
lort_code lort_curves_record_get(const uint8_t *body, uint64_t bytes, lort_curves_record *out,
                                 lort_error *err);

#endif
