/* imatrix: importance matrices of llama.cpp: for each weight matrix the mean square of each of its
 * inputs, E[x_j^2], over some text. Two forms, told by content, which answer to the same names
 * (those of the tensors of a GGUF model, "blk.0.attn_q.weight"):
 *
 *   GGUF    general.type = "imatrix"; for each NAME two F32 tensors, dims slowest first:
 * NAME.in_sum2 [n_mat, n_in], sums of squares, and NAME.counts [n_mat, 1], by which they are
 * divided. Other endings are ignored. legacy  i32 n, then n times { i32 bytes, name, i32 calls, i32
 * count, f32 values[count] }, then nothing or i32 last chunk, i32 bytes, name of the text. Values
 * are divided by `calls`. n_mat is not told apart: a stack of n matrices has n * n_in values.
 *
 * A matrix whose divisor is 0 has seen no data: its values are all 1. */
#ifndef LORT_FORMATS_INPUTS_IMATRIX_H
#define LORT_FORMATS_INPUTS_IMATRIX_H

#include "formats/base/names.h"
#include "formats/types/tensor.h"

/* Llama 70B has 25 MB, stacks of 128 experts half a gigabyte, DeepSeek-V3 one. */
#define LORT_IMATRIX_MAX (UINT64_C(2) << 30)

typedef struct lort_importance {
    const char *name;
    uint32_t name_bytes;
    int64_t n_mat, n_in;      /* legacy: n_mat is 1 */
    const float *mean_square; /* [n_mat][n_in], finite, >= 0; a matrix may be all zero */
} lort_importance;

typedef struct lort_imatrix {
    lort_importance *entries; /* as in the file */
    uint64_t count;
    uint64_t empty; /* matrices without data */
    lort_names names;
    lort_arena arena;
} lort_imatrix;

/* `data` is the whole file; it is not needed afterwards. LORT_E_INPUT names the entry and the
 * place. Memory: the values once, and small multiples of what the header or the names take. On
 * failure *out is zero; free accepts that. */
lort_code lort_imatrix_parse(const uint8_t *data, uint64_t bytes, const lort_alloc *alloc,
                             lort_imatrix *out, lort_error *err);
void lort_imatrix_free(lort_imatrix *imatrix); /* accepts NULL */

/* By the name of a GGUF model's tensor, with or without its ".weight", or that of a Hugging Face
 * model of the Llama kind; NULL if there is none. */
const lort_importance *lort_imatrix_find(const lort_imatrix *imatrix, const char *name,
                                         uint64_t name_bytes);
/* E[x_j^2] of the `cols` inputs of one slice of a stack, or NULL where the shapes do not match. One
 * row of a stack's own length serves all slices. */
const float *lort_importance_row(const lort_importance *importance, const lort_matrices *shape,
                                 int64_t slice);

/* "model.layers.7.mlp.up_proj.weight" -> "blk.7.ffn_up.weight", NUL-terminated. Returns its length;
 * 0 where nothing is known or it does not fit. */
uint64_t lort_imatrix_map_name(const char *name, uint64_t name_bytes, char *out, uint64_t cap);

#endif
