/* dtype: the table of element types. It decides nothing: the columns say what other code may do
 * with a type.
 *
 * Planes: floats are turned by one bit, so that the exponent fills whole bytes (arXiv 2411.05239).
 * Block types are split at the width of a block, so that equal fields of successive blocks lie
 * together. Planes that differ get entropy tables of their own (loader/store/codec.h). No type gets
 * larger by this split. Compressed share of one 768 x 768 matrix of GPT-2, by the width of the
 * split:
 *
 *             width 1   width 2   the block's width
 *     Q4_0     0.946     0.942     0.917
 *     Q8_0     0.959     0.958     0.944
 *     Q4_K     0.976     0.976     0.952
 *     Q6_K     1.000     1.000     0.973
 *     IQ3_S    1.001     1.001     0.972
 *     MXFP4    0.951     0.952     0.916
 */
#include "formats/types/dtype.h"
#include "formats/base/bytes.h"
#include "formats/types/half.h"
#include "formats/types/opaque.h"
#include "formats/types/quant.h"

/* One macro for the rows of one kind. G: in GGUF; S: in safetensors; GS: in both. */
#define G true, false
#define S false, true
#define GS true, true
// clang-format off
#define FLOAT(id, width, formats, decode) {LORT_##id, #id, 1, width, LORT_KIND_FLOAT, formats, width, true, decode}
#define F8(id, decode) {LORT_##id, #id, 1, 1, LORT_KIND_F8, S, 1, false, decode}
#define BLOCK(id, elements, bytes, decode) {LORT_##id, #id, elements, bytes, LORT_KIND_BLOCK, G, bytes, false, decode}
#define OTHER(id, elements, bytes, formats, width) \
    {LORT_##id, #id, elements, bytes, LORT_KIND_OTHER, formats, width, false, NULL}
// clang-format on

static const lort_dtype_info table[] = {
    FLOAT(F32, 4, GS, lort_load_f32),
    FLOAT(F16, 2, GS, lort_load_f16),
    BLOCK(Q4_0, 32, 18, lort_decode_q4_0),
    BLOCK(Q4_1, 32, 20, lort_decode_q4_1),
    BLOCK(Q5_0, 32, 22, lort_decode_q5_0),
    BLOCK(Q5_1, 32, 24, lort_decode_q5_1),
    BLOCK(Q8_0, 32, 34, lort_decode_q8_0),
    BLOCK(Q8_1, 32, 36, NULL),
    BLOCK(Q2_K, 256, 84, lort_decode_q2_k),
    BLOCK(Q3_K, 256, 110, lort_decode_q3_k),
    BLOCK(Q4_K, 256, 144, lort_decode_q4_k),
    BLOCK(Q5_K, 256, 176, lort_decode_q5_k),
    BLOCK(Q6_K, 256, 210, lort_decode_q6_k),
    BLOCK(Q8_K, 256, 292, NULL),
    BLOCK(IQ2_XXS, 256, 66, NULL),
    BLOCK(IQ2_XS, 256, 74, NULL),
    BLOCK(IQ3_XXS, 256, 98, NULL),
    BLOCK(IQ1_S, 256, 50, NULL),
    BLOCK(IQ4_NL, 32, 18, lort_decode_iq4_nl),
    BLOCK(IQ3_S, 256, 110, NULL),
    BLOCK(IQ2_S, 256, 82, NULL),
    BLOCK(IQ4_XS, 256, 136, lort_decode_iq4_xs),
    OTHER(I8, 1, 1, GS, 1),
    OTHER(I16, 1, 2, GS, 2),
    OTHER(I32, 1, 4, GS, 4),
    OTHER(I64, 1, 8, GS, 8),
    FLOAT(F64, 8, GS, lort_load_f64),
    BLOCK(IQ1_M, 256, 56, NULL),
    FLOAT(BF16, 2, GS, lort_load_bf16),
    BLOCK(TQ1_0, 256, 54, lort_decode_tq1_0),
    BLOCK(TQ2_0, 256, 66, lort_decode_tq2_0),
    BLOCK(MXFP4, 32, 17, lort_decode_mxfp4),
    BLOCK(NVFP4, 64, 36, lort_decode_nvfp4),
    BLOCK(Q1_0, 128, 18, lort_decode_q1_0),
    BLOCK(Q2_0, 64, 18, lort_decode_q2_0),
    OTHER(BOOL, 1, 1, S, 1),
    OTHER(F4, 2, 1, S, 1),
    OTHER(F6_E2M3, 4, 3, S, 3),
    OTHER(F6_E3M2, 4, 3, S, 3),
    OTHER(U8, 1, 1, S, 1),
    F8(F8_E5M2, lort_load_f8_e5m2),
    F8(F8_E4M3, lort_load_f8_e4m3),
    F8(F8_E8M0, lort_load_f8_e8m0),
    F8(F8_E4M3FNUZ, lort_load_f8_e4m3fnuz),
    F8(F8_E5M2FNUZ, lort_load_f8_e5m2fnuz),
    OTHER(U16, 1, 2, S, 2),
    OTHER(U32, 1, 4, S, 4),
    {LORT_C64, "C64", 1, 8, LORT_KIND_OTHER, S, 4, true,
     NULL}, /* a pair of f32, in planes of f32 */
    OTHER(U64, 1, 8, S, 8),
};

enum { ROWS = sizeof table / sizeof table[0] };

/* The elements of an opaque tensor are its bytes. */
static const lort_dtype_info opaque = {LORT_OPAQUE, "opaque", 1, 1,     LORT_KIND_OPAQUE,
                                       true,        false,    1, false, NULL};

static const struct {
    lort_dtype id;
    lort_encode_fn *encode;
} encoders[] = {
    {LORT_F32, lort_store_f32}, {LORT_F16, lort_store_f16}, {LORT_BF16, lort_store_bf16}};

const lort_dtype_info *lort_dtype_at(uint32_t i) { return i < ROWS ? &table[i] : NULL; }

const lort_dtype_info *lort_dtype_get(uint32_t id)
{
    if (lort_is_opaque(id))
        return &opaque;
    for (uint32_t i = 0; i < ROWS; i++)
        if ((uint32_t)table[i].id == id)
            return &table[i];
    return NULL;
}

const lort_dtype_info *lort_dtype_by_name(const char *name, uint64_t name_bytes)
{
    for (uint32_t i = 0; i < ROWS; i++)
        if (strlen(table[i].name) == name_bytes && memcmp(table[i].name, name, name_bytes) == 0)
            return &table[i];
    return NULL;
}

lort_encode_fn *lort_dtype_encoder(lort_dtype id)
{
    for (uint32_t i = 0; i < sizeof encoders / sizeof encoders[0]; i++)
        if (encoders[i].id == id)
            return encoders[i].encode;
    return NULL;
}

bool lort_dtype_bytes(const lort_dtype_info *type, uint64_t elements, uint64_t *bytes)
{
    return elements % type->block_elements == 0 &&
           lort_mul_u64(elements / type->block_elements, type->block_bytes, bytes);
}

static inline uint32_t is_nonfinite(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return (bits & 0x7f800000u) == 0x7f800000u;
}

/* Tests 64 values at once first: that loop vectorises, and nearly all values are finite. */
uint64_t lort_find_nonfinite(const float *values, uint64_t n)
{
    enum { BLOCK_VALUES = 64 };
    uint64_t i = 0;
    for (; n - i >= BLOCK_VALUES; i += BLOCK_VALUES) {
        uint32_t found = 0;
        for (int k = 0; k < BLOCK_VALUES; k++)
            found |= is_nonfinite(values[i + k]);
        if (found)
            break;
    }
    while (i < n && !is_nonfinite(values[i]))
        i++;
    return i;
}
