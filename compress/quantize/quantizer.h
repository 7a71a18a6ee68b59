/* quantizer: a run of `lort quantize` as data. commands/quantize.c has its order of work.
 *
 *   source    stretches of a tensor as f32, from a model or a container
 *   targets   which type each tensor gets: by name, or
 *   measure   by the errors of all types on a sample of the weights
 *   pieces    encodes the stretches, measures what they decode to, and writes them in order
 *   notes     tells a later run which pieces are finished
 *   space     mode, threads and memory
 *
 * Room compress/quantize: owns the work of `lort quantize`. It must not print. */
#ifndef LORT_COMPRESS_QUANTIZE_QUANTIZER_H
#define LORT_COMPRESS_QUANTIZE_QUANTIZER_H

#include "compress/choice/mixes.h"
#include "compress/plan/importance.h"
#include "compress/read/headers.h"
#include "compress/write/journal.h"
#include "formats/outputs/gguf_new.h"

/* Sums over the weights of a tensor, for relative errors. w: the importance of the column. */
typedef struct lort_error_sums {
    double x2, e2, wx2, we2;
} lort_error_sums;

typedef struct lort_target_tensor {
    lort_entry entry;
    lort_matrices shape;
    lort_use use;
    int64_t layer;                     /* -1: none */
    const lort_importance *importance; /* NULL: none */
    const lort_dtype_info *wish;       /* by --tensor-type; NULL: none */
    const lort_dtype_info *type;       /* as written */
    bool fixed;                        /* the type is not open to choice */
    bool not_finite; /* holds NaN, Inf, or a value that `unheld` cannot hold: it is kept */
    const lort_dtype_info *unheld; /* NULL: not known */
    bool noted_not_finite;         /* the journal says so; this run did not find it */
    lort_action action;
    const char *why;            /* why it is kept, or has another type than wished; "" */
    uint64_t bytes_out, offset; /* in the new file */
    uint64_t first_piece;       /* its number in the file; the header is piece 0 */
    lort_error_sums sums;
    /* BPW, SIZE: [LORT_TYPES_MOST] the relative error squared of each candidate; measured: how many
     * are known. */
    double *errors;
    uint32_t measured;
} lort_target_tensor;

/* A file to write. It has tensors [first, first + count). */
typedef struct lort_new_file {
    const char *name; /* in a new directory; NULL: the one file of the output */
    lort_buffer header;
    uint64_t size, first, count;
} lort_new_file;

/* Elements that are read, encoded and written at once. */
#define LORT_PIECE_ELEMENTS ((uint64_t)1 << 18)
/* Elements that are encoded and decoded at once: they stay in the first caches. A multiple of all
 * blocks. */
#define LORT_ENCODE_ELEMENTS ((uint64_t)1 << 12)

/* The buffers of one worker. */
typedef struct lort_quantize_worker {
    float *values;     /* [piece_elements] */
    float *cell;       /* [LORT_CELL_VALUES], of a container; else NULL */
    float *decoded;    /* [LORT_ENCODE_ELEMENTS] */
    float *importance; /* the same */
    uint8_t *coded;    /* [4 * LORT_ENCODE_ELEMENTS] bytes, while measuring */
    lort_chunk_cache cache;
} lort_quantize_worker;

typedef struct lort_quantizer {
    const lort_quantize_options *options;
    lort_reading reading; /* its session is that of the run; its archive is that of input */
    lort_input input;
    lort_headers headers; /* of a container */
    lort_imatrix imatrix; /* zero: none */
    lort_mode mode;
    unsigned window;
    uint64_t piece_elements; /* the most of all pieces */
    lort_quantize_worker *workers;
    void *memory; /* of workers and slots */
    uint64_t memory_bytes;
    uint8_t *slots;   /* [window][4 * piece_elements] */
    lort_slice slice; /* of a container: open while its rows are read */
    lort_arena arena; /* holds tensors and their lists */
    lort_target_tensor *tensors;
    uint64_t count;
    double elements;           /* of all tensors */
    lort_gguf_origin *origins; /* the headers of the input */
    uint32_t origin_count;
    lort_new_file *files; /* of the output: one, or with --keep-split as many as the input has */
    uint32_t file_count;
    uint64_t file_size; /* of all files */
    lort_publish *publish;
    lort_journal *journal;
    bool found_not_finite; /* a tensor was found to hold NaN or Inf: the plan changes */
} lort_quantizer;

static inline lort_session *lort_session_of(lort_quantizer *q) { return &q->reading.session; }

#endif
