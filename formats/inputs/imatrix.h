/* imatrix: reads importance matrices of llama.cpp. For each weight matrix they have the mean square
 * of each of its inputs, E[x_j^2], over some text. There are two forms, detected from the contents.
 * Both use the names of the tensors of a GGUF model, such as "blk.0.attn_q.weight".
 *
 *     GGUF     general.type = "imatrix"; for each NAME two F32 tensors, dims slowest first:
 *              NAME.in_sum2 [n_mat, n_in], sums of squares
 *              NAME.counts  [n_mat, 1], the divisors of these sums
 *              Tensors with other endings are ignored.
 *     legacy   i32 n, then n entries { i32 bytes, name, i32 calls, i32 count, f32 values[count] },
 *              then nothing, or { i32 last chunk, i32 bytes, name of the text }
 *              The divisor of all values is `calls`. The form does not give n_mat:
 *              a stack of n matrices has n * n_in values.
 *
 *     E[x_j^2] = sum of squares / divisor
 *
 * A matrix whose divisor is 0 has seen no data: all its values are 1. An entry with a value that is
 * NaN, Inf or negative is dropped as a whole. */
#ifndef LORT_FORMATS_INPUTS_IMATRIX_H
#define LORT_FORMATS_INPUTS_IMATRIX_H

#include "formats/base/names.h"
#include "formats/types/tensor.h"

/* Bytes of a file. Llama 70B has 25 MB, stacks of 128 experts have half a gigabyte, DeepSeek-V3 has
 * one gigabyte. */
#define LORT_IMATRIX_MAX (UINT64_C(2) << 30)

typedef struct lort_importance {
    const char *name;
    uint32_t name_bytes;
    int64_t n_mat, n_in;      /* legacy: n_mat is 1 */
    const float *mean_square; /* [n_mat][n_in], finite, >= 0; may be all zero */
} lort_importance;

#define LORT_IMATRIX_REASONS 16u
typedef struct lort_imatrix {
    lort_importance *entries; /* in the order of the file */
    uint64_t count;
    uint64_t empty; /* matrices without data */
    /* Entries that LoRT does not use, since a value is NaN, Inf or negative; why the first
     * LORT_IMATRIX_REASONS of them. */
    uint64_t dropped;
    const char *reasons[LORT_IMATRIX_REASONS];
    const char *dataset; /* the name of the first text that was read; NULL: unknown */
    uint32_t chunks;     /* of text that were read; 0: unknown */
    lort_names names;
    lort_arena arena;
} lort_imatrix;

/* Parses a whole file. data: not needed afterwards. Memory: the values once, and small multiples of
 * the header or the names. On failure: LORT_E_INPUT, which names the entry and the place, also if
 * all entries are dropped, or LORT_E_MEMORY; *out is zero. lort_imatrix_free accepts that. */
lort_code lort_imatrix_parse(const uint8_t *data, uint64_t bytes, const lort_alloc *alloc,
                             lort_imatrix *out, lort_error *err);
void lort_imatrix_free(lort_imatrix *imatrix); /* accepts NULL */

/* Returns the entry for a tensor, or NULL. name: that of a tensor of a GGUF model, with or without
 * its ".weight", or of a Hugging Face model like Llama. */
const lort_importance *lort_imatrix_find(const lort_imatrix *imatrix, const char *name,
                                         uint64_t name_bytes);
/* The same among any names of a GGUF model's tensors. Returns the slot, or NULL. */
const lort_names_slot *lort_imatrix_find_name(const lort_names *names, const char *name,
                                              uint64_t name_bytes);
/* Returns E[x_j^2] of the `cols` inputs of one slice of a stack, or NULL if the shapes do not
 * match. If the entry has one row of `cols` values, that row serves all slices. */
const float *lort_importance_row(const lort_importance *importance, const lort_matrices *shape,
                                 int64_t slice);

/* Translates a Hugging Face name, such as "model.layers.7.mlp.up_proj.weight" to
 * "blk.7.ffn_up.weight". out: `cap` bytes, NUL-terminated. Returns the length, or 0 if the name is
 * unknown or does not fit. */
uint64_t lort_imatrix_map_name(const char *name, uint64_t name_bytes, char *out, uint64_t cap);

#endif
