/* roles: what a tensor of a GGUF file is for, told by its name, and which type fits its rows.
 *
 * Room compress/choice: owns which type each tensor gets under `lort quantize`: as data, from
 * names, shapes and errors. It must not read a file or a weight.
 *
 * LoRT quantises only tensors on a list of names (QUANTIZE.md, section 6). New architectures bring
 * new names every month, and a wrong guess ruins a model. LoRT keeps all other tensors and says
 * why. */
#ifndef LORT_COMPRESS_CHOICE_ROLES_H
#define LORT_COMPRESS_CHOICE_ROLES_H

#include "formats/types/dtype.h"

/* What a tensor is for. Experts (_exps) and shared experts (_shexp) have the use of their
 * matrix. */
typedef enum lort_use {
    LORT_USE_KEPT, /* the name is not on the list */
    LORT_USE_TOKEN_EMBD,
    LORT_USE_OUTPUT,
    LORT_USE_ATTN_Q,
    LORT_USE_ATTN_K,
    LORT_USE_ATTN_V,
    LORT_USE_ATTN_QKV,
    LORT_USE_ATTN_OUTPUT,
    LORT_USE_ATTN_Q_A,
    LORT_USE_ATTN_Q_B,
    LORT_USE_ATTN_KV_A_MQA,
    LORT_USE_ATTN_KV_B,
    LORT_USE_ATTN_K_B,
    LORT_USE_ATTN_V_B,
    LORT_USE_FFN_GATE,
    LORT_USE_FFN_UP,
    LORT_USE_FFN_DOWN,
    LORT_USES
} lort_use;

/* Returns the use of the tensor with this name. The list has token_embd.weight, output.weight and
 * blk.N.SUFFIX.weight, where enc.blk and dec.blk count as blk: encoder and decoder of one text
 * model. Blocks of vision and audio towers (v.blk, a.blk) are not on the list. *layer: N, or -1
 * where the name has none. layer: NULL is allowed. */
lort_use lort_use_of(const char *name, uint64_t bytes, int64_t *layer);

/* Why LoRT keeps a tensor. */
typedef enum lort_keep {
    LORT_KEEP_NOT, /* LoRT quantises it */
    LORT_KEEP_VECTOR,
    LORT_KEEP_STACK,
    LORT_KEEP_EMPTY,
    LORT_KEEP_NOT_WEIGHT,
    LORT_KEEP_NORM,
    LORT_KEEP_ROUTER,
    LORT_KEEP_POSITION,
    LORT_KEEP_CONVOLUTION,
    LORT_KEEP_CODEBOOK,
    LORT_KEEP_SMALL,
    LORT_KEEP_TOWER,
    LORT_KEEP_NAME,
    LORT_KEEPS
} lort_keep;

/* Returns the reason to keep a tensor, or LORT_KEEP_NOT. dims: [n_dims], slowest first. Leading
 * dims of 1 do not count, as in ggml. */
lort_keep lort_keep_why(const char *name, uint64_t bytes, const int64_t *dims, uint32_t n_dims);
/* A short phrase for the report; "" for LORT_KEEP_NOT. */
const char *lort_keep_text(lort_keep reason);
/* True if llama-quantize would quantise the tensor: it goes by a list of names to keep. */
bool lort_llama_quantises(const char *name, uint64_t bytes, const int64_t *dims, uint32_t n_dims);

/* True if `part` occurs in the name. */
bool lort_name_has(const char *name, uint64_t bytes, const char *part);

/* Returns `wished` if rows of `row` elements are whole blocks of it. Otherwise returns the type
 * that llama.cpp writes: one of blocks of 32, or F16 where 32 does not divide the row either. */
const lort_dtype_info *lort_fit_type(const lort_dtype_info *wished, uint64_t row);

#endif
