/* dtype: the one table of element types of ggml and safetensors. A row has the name, the block, the
 * decoder, and how lossless storage splits the bytes. A new type is a new row in dtype.c, and a
 * decoder in quant.c or half.c.
 *
 * Room formats/types: owns element types with their decoders and encoders, byte planes, the view of
 * a tensor and the order of tensors. It must not know where a tensor comes from. */
#ifndef LORT_FORMATS_TYPES_DTYPE_H
#define LORT_FORMATS_TYPES_DTYPE_H

#include "formats/base/error.h"
#include <stdbool.h>
#include <stdint.h>

/* Numbers that containers store, so they never change. Below 128 they are the type ids of ggml.
 * From 128 on they are types that only safetensors has. From LORT_OPAQUE on they are types that
 * LoRT does not know (opaque.h). */
typedef enum lort_dtype {
    LORT_F32 = 0,
    LORT_F16 = 1,
    LORT_Q4_0 = 2,
    LORT_Q4_1 = 3,
    LORT_Q5_0 = 6,
    LORT_Q5_1 = 7,
    LORT_Q8_0 = 8,
    LORT_Q8_1 = 9,
    LORT_Q2_K = 10,
    LORT_Q3_K = 11,
    LORT_Q4_K = 12,
    LORT_Q5_K = 13,
    LORT_Q6_K = 14,
    LORT_Q8_K = 15,
    LORT_IQ2_XXS = 16,
    LORT_IQ2_XS = 17,
    LORT_IQ3_XXS = 18,
    LORT_IQ1_S = 19,
    LORT_IQ4_NL = 20,
    LORT_IQ3_S = 21,
    LORT_IQ2_S = 22,
    LORT_IQ4_XS = 23,
    LORT_I8 = 24,
    LORT_I16 = 25,
    LORT_I32 = 26,
    LORT_I64 = 27,
    LORT_F64 = 28,
    LORT_IQ1_M = 29,
    LORT_BF16 = 30,
    LORT_TQ1_0 = 34,
    LORT_TQ2_0 = 35,
    LORT_MXFP4 = 39,
    LORT_NVFP4 = 40,
    LORT_Q1_0 = 41,
    LORT_Q2_0 = 42,
    LORT_BOOL = 128,
    LORT_F4 = 129,
    LORT_F6_E2M3 = 130,
    LORT_F6_E3M2 = 131,
    LORT_U8 = 132,
    LORT_F8_E5M2 = 133,
    LORT_F8_E4M3 = 134,
    LORT_F8_E8M0 = 135,
    LORT_F8_E4M3FNUZ = 136,
    LORT_F8_E5M2FNUZ = 137,
    LORT_U16 = 138,
    LORT_U32 = 139,
    LORT_C64 = 140,
    LORT_U64 = 141,
    LORT_OPAQUE = 65536 /* and the id of the type in its GGUF file, 0 to 65535 */
} lort_dtype;

typedef enum lort_dtype_kind {
    LORT_KIND_FLOAT, /* F32 F16 BF16 F64: candidates unless a rule keeps them */
    LORT_KIND_F8,    /* 8-bit floats: kept if a tensor of scales stands beside them */
    LORT_KIND_BLOCK, /* block-quantised: kept unless --include names the tensor */
    LORT_KIND_OTHER, /* integers, bool, complex, sub-byte floats: always kept */
    LORT_KIND_OPAQUE /* the layout is unknown: the elements are the bytes, always kept */
} lort_dtype_kind;

typedef struct lort_dtype_info {
    lort_dtype id;
    const char *name;        /* as ggml or safetensors spells it: "Q4_K", "BF16" */
    uint32_t block_elements; /* elements per block; 1 for plain types, 2 for F4, 4 for F6 */
    uint32_t block_bytes;
    lort_dtype_kind kind;
    bool in_gguf, in_safetensors;
    /* Bytes of an item that is split into byte planes (planes.h); 1: no split. */
    uint32_t plane_width;
    /* Turn items left by one bit before the split, so that the exponent has planes of its own. */
    bool rotate;
    void (*decode)(const void *src, float *dst, uint64_t elements); /* NULL: kept, never decoded */
} lort_dtype_info;

/* Returns the row of a type id, or NULL for an unknown or removed id. All opaque types have one row
 * here, with the layout and without a name of their own. */
const lort_dtype_info *lort_dtype_get(uint32_t id);
/* Returns the row of a name, or NULL. Case counts; the name needs no NUL. */
const lort_dtype_info *lort_dtype_by_name(const char *name, uint64_t name_bytes);
/* Returns row i of the table, for lists and tests, or NULL past its end. */
const lort_dtype_info *lort_dtype_at(uint32_t i);
/* Puts the bytes of `elements` elements into *bytes. Returns false if they are not whole blocks, or
 * on overflow. */
bool lort_dtype_bytes(const lort_dtype_info *type, uint64_t elements, uint64_t *bytes);

#define LORT_BLOCK_ELEMENTS_MAX 256u /* most elements in a block of any type */
/* Bytes of one element; 1 for types in blocks. */
static inline uint32_t lort_dtype_element_bytes(const lort_dtype_info *type)
{
    return type->block_elements > 1 ? 1 : type->block_bytes;
}

/* Returns the index of the first NaN or Inf among n values, or n if all are finite. LoRT keeps a
 * tensor with such a value and reports its place. */
uint64_t lort_find_nonfinite(const float *values, uint64_t n);

/* Converts f32 values to the bytes of a plain float type. */
typedef void lort_encode_fn(const float *src, void *dst, uint64_t elements);
/* Returns the encoder of F32, F16 or BF16, or NULL for other types. */
lort_encode_fn *lort_dtype_encoder(lort_dtype id);

#endif
