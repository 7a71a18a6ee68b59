/* recipe: types of single tensors as text: what llama-quantize reads (--recipe), and what users
 * write (--tensor-type, --types). */
#ifndef LORT_COMPRESS_CHOICE_RECIPE_H
#define LORT_COMPRESS_CHOICE_RECIPE_H

#include "formats/base/alloc.h"
#include "formats/types/dtype.h"

/* Returns type i of those that LoRT writes, or NULL past the last. */
const lort_dtype_info *lort_type_at(uint32_t i);
#define LORT_TYPES_MOST 16u /* more than there are */

/* Appends the line of one tensor in a --tensor-type-file of llama-quantize: a regular expression
 * that matches this name alone, "=", the type. Give a line to every tensor of two or more
 * dimensions, those that are kept too: llama-quantize goes by names of its own. */
void lort_recipe_put(lort_buffer *out, const char *name, uint64_t bytes,
                     const lort_dtype_info *type);

/* One --tensor-type: the type of all tensors whose names match (formats/base/glob.h). */
typedef struct lort_override {
    const char *pattern;
    const lort_dtype_info *type;
} lort_override;

/* Parses "GLOB=TYPE". The last "=" counts, and the case of TYPE does not. Owner of the pattern: the
 * arena. On failure: LORT_E_USAGE, or LORT_E_MEMORY. */
lort_code lort_override_parse(const char *text, lort_arena *arena, lort_override *out,
                              lort_error *err);
/* Returns the first override whose pattern matches, as llama-quantize does, or NULL. name: with a
 * NUL. */
const lort_override *lort_override_find(const lort_override *overrides, uint64_t count,
                                        const char *name);

typedef struct lort_type_list {
    const lort_dtype_info *types[LORT_TYPES_MOST];
    uint32_t count;
} lort_type_list;

/* Parses the list of --types, such as "Q4_K,Q6_K", in its order. On failure: LORT_E_USAGE, for an
 * empty list or item, an unknown type or one that occurs twice. */
lort_code lort_type_list_parse(const char *text, lort_type_list *out, lort_error *err);

#endif
