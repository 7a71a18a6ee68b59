/* tensor: the view every format is read into. It owns nothing; dims are row-major (slowest first)
 * whatever the file says (GGUF stores ne[0] = fastest first; the parser reverses it). */
#ifndef LORT_FORMATS_TYPES_TENSOR_H
#define LORT_FORMATS_TYPES_TENSOR_H

#include "formats/base/alloc.h"
#include "formats/types/dtype.h"
#include <stdbool.h>
#include <stdint.h>

#define LORT_MAX_DIMS 64

typedef struct lort_tensor {
    /* NUL-terminated, may hold any other bytes the format allows: print with lort_escape */
    const char *name;
    uint32_t name_bytes;
    uint32_t n_dims;     /* 0 = scalar */
    const int64_t *dims; /* [n_dims], slowest first, each >= 0 */
    const lort_dtype_info *type;
    uint64_t elements, bytes; /* bytes of the stored data */
    uint64_t offset;          /* of the first byte, from the start of its file */
    uint32_t file;            /* which file of the model; parsers leave 0 */
} lort_tensor;

/* A tensor seen as matrices: the last two dims; leading dims count slices (experts), each its own
 * matrix. 0-D and 1-D tensors are one row. */
typedef struct lort_matrices {
    int64_t slices, rows, cols;
} lort_matrices;
lort_matrices lort_tensor_matrices(const lort_tensor *tensor);

/* Tensors in file order with a name hash. Tensors and names live in the arena of whoever built it.
 */
typedef struct lort_index {
    lort_tensor *tensors;
    uint64_t count;
    uint64_t *slots; /* open addressing: tensor number + 1, 0 = free */
    uint64_t slot_count;
} lort_index;

/* Builds the hash over index->tensors[0, count). LORT_E_INPUT names the first duplicate, or says
 * that the names were made to collide; O(count) whatever the names. */
lort_code lort_index_build(lort_index *index, lort_arena *arena, lort_error *err);
/* or NULL */
const lort_tensor *lort_index_find(const lort_index *index, const char *name, uint64_t name_bytes);

/* "[2048, 768]" into `out`. */
const char *lort_shape_text(const lort_tensor *tensor, char *out, size_t cap);

#endif
