/* mixes: the types that llama-quantize gives the tensors of a file, for each name of --type.
 *
 * A mix has a base type and exceptions: attention values, outputs and ffn_down get more bits. The
 * facts come from llama.cpp, src/llama-quant.cpp. tests/golden/llama_types.tsv has the types that
 * llama.cpp's own library chose. */
#ifndef LORT_COMPRESS_CHOICE_MIXES_H
#define LORT_COMPRESS_CHOICE_MIXES_H

#include "compress/choice/roles.h"
#include "formats/base/alloc.h"

typedef struct lort_mix lort_mix; /* a row of the table in mixes.c */

/* Returns the mix of this name, or NULL. Case does not count. Q3_K, Q4_K and Q5_K are the _M
 * mixes. */
const lort_mix *lort_mix_by_name(const char *name);
/* Returns mix i of the table, for lists, or NULL past its end. */
const lort_mix *lort_mix_at(uint32_t i);
const char *lort_mix_name(const lort_mix *mix);
const lort_dtype_info *lort_mix_base(const lort_mix *mix);
/* general.file_type of a file of this mix, or of its base type alone (pure). */
uint32_t lort_mix_file_type(const lort_mix *mix, bool pure);
/* True if llama-quantize refuses the mix without an importance matrix: Q2_K_S alone. */
bool lort_mix_asks_importance(const lort_mix *mix);

/* general.file_type of a file of mostly one type. Returns true if there is such a number. */
bool lort_file_type_of(lort_dtype type, uint32_t *file_type);

/* What the mixes ask of a model: keys ARCH.block_count, .attention.head_count, .head_count_kv and
 * .expert_count. Where a key is an array, its first element counts. */
typedef struct lort_mix_facts {
    const char *arch; /* general.architecture; not NULL */
    int64_t n_layer;
    uint64_t n_head, n_head_kv; /* the file without .head_count_kv: n_head */
    uint64_t n_expert;          /* 0: none */
    bool has_imatrix;
} lort_mix_facts;

typedef struct lort_mix_tensor {
    const char *name;
    uint64_t name_bytes;
    const int64_t *dims; /* [n_dims], slowest first */
    uint32_t n_dims;
    lort_use use;                /* LORT_USE_KEPT: stays as it is, whatever its name */
    const lort_dtype_info *type; /* output; NULL: kept */
} lort_mix_tensor;

/* Sets the type of each of tensors[0, count). Give all tensors of the model, in any order, those
 * that are kept too: llama-quantize counts them, and a model without output.weight has a tied
 * embedding. pure: the base type for all. On failure: LORT_E_MEMORY. */
lort_code lort_mix_assign(const lort_mix *mix, bool pure, const lort_mix_facts *facts,
                          lort_mix_tensor *tensors, uint64_t count, const lort_alloc *alloc,
                          lort_error *err);

#endif
