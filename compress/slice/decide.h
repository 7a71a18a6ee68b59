/* decide: one slice of one tensor - factored or kept, and why. The result is a function of the slice's bytes and the quality
 * options only. */
#ifndef LORT_COMPRESS_DECIDE_H
#define LORT_COMPRESS_DECIDE_H

#include "compress/slice/held.h"
#include "compress/plan/plan.h"

/* The lossless size of a slice is measured on at most this many chunks, evenly spaced (all of them for up to 8 MiB). */
#define LORT_SAMPLE_CHUNKS 8

/* What the slice became. Everything is owned by the outcome; lort_outcome_free accepts zeroed ones. */
typedef struct lort_outcome {
    bool factored;
    bool quantised;       /* as integers of `step`; blocks that are not kept are encoded when they are written */
    bool ternary;         /* quantised too, but as trits under `scales` */
    const char *reason;   /* why it is kept; "" when factored */
    char detail[120];     /* figures behind the reason, or "" */
    bool has_norm;
    double norm2, error2; /* ||W||_F^2 and ||W - W'||_F^2 in the weights' own units */
    lort_weighed norm, error; /* with importances: the same, and weighed by them; norm2 = norm.plain then, error2 = error.plain */
    int64_t rank;
    int32_t exponent;
    lort_dtype left, right;
    float step;
    float *left_values, *right_values; /* factored and quantised: f32 copies of the factors as stored, [rows][rank] and [rank][cols] */
    uint64_t left_bytes, right_bytes;  /* of the copies */
    double mean2;         /* quantised: mean square of what the integers stand for */
    float *scales;        /* ternary: of the rows */
    uint64_t scale_bytes;
    uint8_t *codes;       /* quantised: of the rows, then of the columns, then of their scales if the step's are scaled */
    uint64_t code_count;
    uint64_t lossless, estimate; /* estimated bytes of the lossless form; of the quantised one */
    lort_kept kept;       /* quantised: the blocks, where they could be held */
    lort_buffer coded;    /* the encoded chunks of factors or codes, one behind the other */
    lort_chunk *chunks;   /* their descriptions, offsets from the start of `coded` */
    uint64_t chunk_room;
    uint64_t chunk_count;
    uint32_t passes;      /* whole readings of the slice that led here */
    double seconds;
} lort_outcome;

typedef struct lort_decider {
    lort_session *session;
    lort_model *model;
    const lort_options *options;
    struct lort_journal *journal; /* what is done is noted there; NULL: nowhere */
} lort_decider;

/* worker: whose scratch is used by the caller; pool: who factors (NULL: this worker alone). */
lort_code lort_decide(const lort_decider *decider, const lort_tensor_plan *step, uint32_t slice, unsigned worker, lort_pool *pool, lort_outcome *out, lort_error *err);
void lort_outcome_free(lort_outcome *outcome, const lort_alloc *alloc);
/* Whether a tensor is kept for this (the text may have more around it) since its weights are no numbers or a method gave up: that is to be heard of. */
bool lort_reason_is_fault(const char *reason);

/* Where the bytes of what one outcome is for lie: of a slice, or of the whole extent where its slices are not tried. */
typedef struct lort_range {
    uint32_t file;
    uint64_t offset, bytes;
} lort_range;
lort_range lort_slice_range(const lort_decider *decider, const lort_tensor_plan *step, uint64_t extent, uint32_t slice);

/* Elements a chunk of this type holds, and their bytes: whole blocks, at most LORT_CHUNK_TARGET bytes. */
uint64_t lort_chunk_elements(const lort_dtype_info *type);
uint64_t lort_chunk_bytes(const lort_dtype_info *type);
/* Splits into planes (when the type asks for it) and compresses `bytes` bytes; the frame is left in buffers->coded. */
lort_code lort_chunk_encode(lort_codec *codec, lort_scratch *buffers, const lort_dtype_info *type, const uint8_t *src, uint64_t bytes,
                            uint64_t *stored, lort_error *err);

#endif
