/* opaque: types of GGUF files that LoRT does not know. LoRT knows neither the block nor the bytes
 * of such a type. So it keeps a tensor of it as the bytes that the file gives the tensor. The dims
 * of the tensor stay as they are; its elements are the bytes. */
#ifndef LORT_FORMATS_TYPES_OPAQUE_H
#define LORT_FORMATS_TYPES_OPAQUE_H

#include "formats/base/alloc.h"
#include "formats/types/dtype.h"

#define LORT_OPAQUE_IDS 65536u /* ids of types in a file; a larger id is damage */

/* True if a number of a type stands for an opaque type. */
static inline bool lort_is_opaque(uint32_t id)
{
    return id >= LORT_OPAQUE && id - LORT_OPAQUE < LORT_OPAQUE_IDS;
}
/* Returns the id of a type in a GGUF file. */
static inline uint32_t lort_ggml_id(const lort_dtype_info *type)
{
    const uint32_t id = (uint32_t)type->id;
    return lort_is_opaque(id) ? id - LORT_OPAQUE : id;
}

/* Rows that were made last. Without them a file of many tensors would take a row for each. */
#define LORT_OPAQUE_RECENT 64u
typedef struct lort_opaque_rows {
    const lort_dtype_info *recent[LORT_OPAQUE_RECENT];
} lort_opaque_rows;

/* Makes the row of an opaque type, with a name such as "type156". Two rows of one type may exist:
 * compare ids. id: in the file, below LORT_OPAQUE_IDS. rows: may be NULL. Owner of the row and its
 * name: the arena. On failure: LORT_E_MEMORY. */
lort_code lort_opaque_row(lort_opaque_rows *rows, uint32_t id, lort_arena *arena,
                          const lort_dtype_info **out, lort_error *err);

#endif
