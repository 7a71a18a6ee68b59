/* gguf_new: makes the header of a new GGUF file, version 3, from the metadata of other GGUF files.
 *
 * Room formats/outputs: owns the headers of model files that LoRT makes anew. It must not write a
 * file. */
#ifndef LORT_FORMATS_OUTPUTS_GGUF_NEW_H
#define LORT_FORMATS_OUTPUTS_GGUF_NEW_H

#include "formats/inputs/format.h"

/* A key of the new header. It takes the place of a key of this name, or stands behind all others.
 */
typedef enum lort_gguf_action {
    LORT_GGUF_SET_U32,
    LORT_GGUF_SET_F32, /* `u32` has the bits */
    LORT_GGUF_SET_TEXT,
    LORT_GGUF_DROP,       /* the key is left out */
    LORT_GGUF_DROP_PREFIX /* all keys that begin so are left out; an earlier change of one counts */
} lort_gguf_action;
typedef struct lort_gguf_change {
    const char *key;
    lort_gguf_action action;
    uint32_t u32;
    const char *text;
} lort_gguf_change;

/* The header of a GGUF file whose metadata is taken over. */
typedef struct lort_gguf_origin {
    const lort_header *header;
    const uint8_t *data; /* [header->header_bytes], that `header` was parsed from */
} lort_gguf_origin;

typedef struct lort_gguf_plan {
    /* Keys of a later origin count where no earlier one has them. The first gives the alignment. */
    const lort_gguf_origin *origins;
    uint32_t origin_count;
    const lort_gguf_change *changes;
    uint32_t change_count;
    const lort_tensor *const *tensors; /* [count], in the order of the data */
    const lort_dtype_info *const *types;
    uint64_t count;
} lort_gguf_plan;

/* Appends the header with its padding to *out. offsets[i]: where tensor i begins in the new file.
 * *file_size: with the padding behind the last tensor, as ggml writes it. alloc: for a set of
 * names. On failure: LORT_E_USAGE if a type does not fit a tensor, LORT_E_INPUT for more than
 * 2^64 bytes, LORT_E_MEMORY. */
lort_code lort_gguf_make(const lort_gguf_plan *plan, const lort_alloc *alloc, lort_buffer *out,
                         uint64_t *offsets, uint64_t *file_size, lort_error *err);

#endif
