/* tensor: the view of a tensor, into which every format is read. A view owns nothing. Its dims are
 * row-major (slowest first) for every format. GGUF stores ne[0] = fastest first, and its parser
 * reverses the order. */
#ifndef LORT_FORMATS_TYPES_TENSOR_H
#define LORT_FORMATS_TYPES_TENSOR_H

#include "formats/base/alloc.h"
#include "formats/types/dtype.h"
#include <stdbool.h>
#include <stdint.h>

#define LORT_MAX_DIMS 64 /* docs/FORMAT.md, section 6 */

typedef struct lort_tensor {
    /* NUL-terminated; may hold any other byte that the format allows, so print it with
     * lort_escape. */
    const char *name;
    uint32_t name_bytes;
    uint32_t n_dims;     /* 0 = scalar */
    const int64_t *dims; /* [n_dims], slowest first, each >= 0 */
    const lort_dtype_info *type;
    uint64_t elements, bytes; /* bytes of the stored data */
    uint64_t offset;          /* of the first byte, from the start of its file */
    uint32_t file;            /* the number of its file in the model; parsers leave 0 */
} lort_tensor;

/* A tensor as matrices of its last two dims. The leading dims count slices (experts); each slice is
 * a matrix. A tensor of 0 or 1 dims is one row. */
typedef struct lort_matrices {
    int64_t slices, rows, cols;
} lort_matrices;
lort_matrices lort_tensor_matrices(const lort_tensor *tensor);
/* The same elements as one matrix: dims[0] rows, the product of all other dims columns. So peft and
 * others see the kernels of a convolution [O, I, k...]. dims: at least one, with no overflow of the
 * product (lort_layout_elements). */
lort_matrices lort_dims_convolution(const int64_t *dims, uint32_t n_dims);
/* Told by the shape alone: three to five dims, and all behind the second are at most
 * LORT_KERNEL_MOST. */
#define LORT_KERNEL_MOST 16
bool lort_tensor_is_convolution(const lort_tensor *tensor);

/* Tensors in file order, with a hash table of their names. Owner of tensors and names: the arena of
 * the code that built the index. */
typedef struct lort_index {
    lort_tensor *tensors;
    uint64_t count;
    uint32_t *slots; /* open addressing: tensor number + 1, 0 = free */
    uint64_t slot_count;
} lort_index;

/* Builds the hash table over index->tensors[0, count), in O(count) for any names. On failure:
 * LORT_E_MEMORY, or LORT_E_INPUT, which names the first duplicate or says that the names were made
 * to collide, or that there are more than LORT_INDEX_MOST tensors. Memory: 8 to 16 bytes a
 * tensor. */
#define LORT_INDEX_MOST (UINT32_MAX - 1u)
lort_code lort_index_build(lort_index *index, lort_arena *arena, lort_error *err);
/* Returns the tensor of that name, or NULL. */
const lort_tensor *lort_index_find(const lort_index *index, const char *name, uint64_t name_bytes);

/* Writes a shape such as "[2048, 768]" to `out`, and returns `out`. */
const char *lort_shape_text(const lort_tensor *tensor, char *out, size_t cap);

#endif
