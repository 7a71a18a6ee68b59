/* source: stretches of a tensor as f32, from a model or a container.
 *
 *   model       a piece is LORT_PIECE_ELEMENTS elements, wherever rows end
 *   container   a piece is as many rows as its blocks are high, so no block is decoded twice
 *
 * Pieces of a slice of a container need the slice to be open. So work goes run by run: a run is a
 * tensor of a model, or a slice of a container. */
#ifndef LORT_COMPRESS_QUANTIZE_SOURCE_H
#define LORT_COMPRESS_QUANTIZE_SOURCE_H

#include "compress/quantize/quantizer.h"

/* A stretch of elements of a tensor. */
typedef struct lort_stretch {
    uint64_t first, count;
} lort_stretch;

/* Elements of the largest piece of a tensor. */
uint64_t lort_piece_most(const lort_entry *entry);
uint64_t lort_source_runs(const lort_entry *entry);
uint64_t lort_run_pieces(const lort_entry *entry);
lort_stretch lort_run_piece(const lort_entry *entry, uint64_t run, uint64_t piece);
/* Opens and closes a run. Only one run of a quantizer is open at a time. */
lort_code lort_run_open(lort_quantizer *q, const lort_target_tensor *t, uint64_t run,
                        lort_error *err);
void lort_run_close(lort_quantizer *q);
/* Decodes a piece of the open run to the values of a worker, and checks the reads. Threads: any
 * number, each with its own worker. */
lort_code lort_run_read(lort_quantizer *q, const lort_target_tensor *t, lort_stretch stretch,
                        unsigned worker, lort_error *err);
/* Fills `out` with the importance of the elements of a stretch, or returns NULL if there is none
 * for this tensor. */
const float *lort_stretch_importance(const lort_target_tensor *t, lort_stretch stretch, float *out);

void lort_sums_add(lort_error_sums *to, const lort_error_sums *from);
/* True if LoRT copies the bytes of the tensor as they are: one piece, whatever its size. */
bool lort_target_copied(const lort_target_tensor *t);
/* Pieces of a tensor in the new file. */
uint64_t lort_target_pieces(const lort_target_tensor *t);
/* Bytes of a stretch in the type that is written. */
uint64_t lort_stretch_bytes(const lort_target_tensor *t, lort_stretch stretch);

#endif
