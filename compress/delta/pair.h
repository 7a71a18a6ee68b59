/* pair: a fine-tune and its base, opened together, and the differences of their tensors.
 *
 *     D = W' - W        W' of the fine-tune, W of the base
 *
 * Each side is a model or a container. Tensors match by name. The room owns pairs of models and
 * their differences. It must not write a file or choose a target. */
#ifndef LORT_COMPRESS_DELTA_PAIR_H
#define LORT_COMPRESS_DELTA_PAIR_H

#include "compress/read/input.h"

/* How a tensor of one side stands to the tensor of its name on the other side. */
typedef enum lort_match {
    LORT_MATCH_SAME,  /* equal types and shapes */
    LORT_MATCH_TYPE,  /* equal shapes, other types */
    LORT_MATCH_ROWS,  /* the fine-tune has more rows (a grown vocabulary); types may differ */
    LORT_MATCH_SHAPE, /* other shapes */
    LORT_MATCH_NEW,   /* the base lacks the tensor */
    LORT_MATCH_GONE   /* the fine-tune lacks the tensor */
} lort_match;
const char *lort_match_text(lort_match match); /* a short phrase */

typedef struct lort_pair_tensor {
    lort_entry tuned, base; /* one is zero: NEW, GONE */
    lort_match match;
    /* The matrices that both sides have, the base's rows. All 0: NEW, GONE, SHAPE. */
    lort_matrices shape;
} lort_pair_tensor;

typedef enum lort_pair_what {
    LORT_PAIR_TUNED,
    LORT_PAIR_BASE,
    LORT_PAIR_DIFFERENCE
} lort_pair_what;

typedef struct lort_pair_worker lort_pair_worker;

typedef struct lort_pair {
    lort_session *session;
    lort_input tuned, base;
    lort_arena arena;          /* holds `tensors` */
    lort_pair_tensor *tensors; /* in the order of the fine-tune; behind them those that it lacks */
    uint64_t count;
    lort_pair_worker *workers; /* [worker_count]; NULL before lort_pair_start */
    unsigned worker_count;
    uint64_t tile_floats;
    /* the slice that is open for reading */
    const lort_pair_tensor *now;
    int64_t slice;
    lort_slice tuned_slice, base_slice; /* of containers */
} lort_pair;

/* Opens both sides, with warnings of the session, and matches their tensors. `weights` as in
 * lort_options, for both sides.
 * On failure: the codes of lort_input_open_as; LORT_E_MEMORY.
 * Owner: the caller, who closes *pair, after a failure too. */
lort_code lort_pair_open(lort_pair *pair, lort_session *session, const char *tuned,
                         const char *base, const lort_model_options *options, lort_error *err);
void lort_pair_close(lort_pair *pair); /* accepts a zeroed one */
/* LORT_E_READ if a file of either side changed since it was opened. */
lort_code lort_pair_unchanged(const lort_pair *pair, lort_error *err);
/* True if both sides of a tensor decode to f32. */
bool lort_pair_decodes(const lort_pair_tensor *tensor);

/* Chunks and blocks that lort_session_start needs for reading both sides. */
void lort_pair_needs(const lort_pair *pair, uint64_t *chunk_bytes, lort_block_need *blocks);
/* Bytes that lort_pair_start takes for `threads` workers. */
uint64_t lort_pair_cost(const lort_pair *pair, unsigned threads, uint64_t tile_floats);
/* Bytes that lort_pair_slice takes at most for a slice of the tensor. */
uint64_t lort_pair_slice_cost(const lort_pair_tensor *tensor);
/* Takes the buffers of the workers of the session, which is started. tile_floats: the most numbers
 * of one lort_pair_tile. */
lort_code lort_pair_start(lort_pair *pair, uint64_t tile_floats, lort_error *err);

/* Opens slice `slice` of a tensor that both sides have. Closes the slice that was open. */
lort_code lort_pair_slice(lort_pair *pair, const lort_pair_tensor *tensor, int64_t slice,
                          lort_error *err);
/* Closes the open slice and releases its pages. */
void lort_pair_release(lort_pair *pair);
/* Decodes rows [r0, r1) x columns [c0, c1) of the open slice to dst, dense. Columns are whole
 * blocks of both types. Threads: any number at a time, each with its own worker.
 * On failure: LORT_E_READ, LORT_E_DAMAGED. */
lort_code lort_pair_tile(lort_pair *pair, lort_pair_what what, unsigned worker, int64_t r0,
                         int64_t r1, int64_t c0, int64_t c1, float *dst, lort_error *err);
/* Sets *equal: whether both sides have the same type, shape and bytes. A coded part of a container
 * has no bytes, and is never equal. Uses worker 0. */
lort_code lort_pair_equal(lort_pair *pair, const lort_pair_tensor *tensor, bool *equal,
                          lort_error *err);

#endif
