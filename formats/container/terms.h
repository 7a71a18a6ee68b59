/* terms: the kinds of terms and of arrays that a container has, one table each. A new encoding of
 * slices begins here, with one row per term and per array. */
#ifndef LORT_FORMATS_CONTAINER_TERMS_H
#define LORT_FORMATS_CONTAINER_TERMS_H

#include <stdbool.h>
#include <stdint.h>

typedef enum lort_term_kind {
    LORT_TERM_RAW = 0, /* the elements losslessly, in the `left` type */
    /* Per slice 2^exponent * L R. L: rows x rank, type left; R: rank x cols, type right;
     * row-major. */
    LORT_TERM_FACTORS = 1,
    /* Per slice step * integers of a trellis, in blocks. */
    LORT_TERM_INTEGERS = 2,
    LORT_TERM_SCALE = 3, /* reserved: row or column scales */
    /* The elements of a tensor of the base model, to which the other terms are a difference. */
    LORT_TERM_BASE = 4,
    LORT_TERM_TERNARY = 5, /* per row a scale (type left) times -1, 0 or 1, in blocks */
    /* Some elements of a slice with other terms: values (type left) and their places (right), which
     * stand in place of the sum. */
    LORT_TERM_OUTLIERS = 6
} lort_term_kind;
#define LORT_TERM_KINDS 7

typedef struct lort_term_info {
    const char *name; /* as messages call it; NULL: the kind is reserved */
    bool two_sided;   /* its left and right arrays have types of their own */
    bool exponents;   /* an exponent per slice stands in the record */
    bool steps;       /* a step per slice stands in the record */
    bool blocks;      /* it is stored in blocks of the grid */
    bool base;        /* a tensor of the base stands in the record */
} lort_term_info;

/* Returns the row of a kind, or NULL if this version does not know the kind. */
const lort_term_info *lort_term_get(uint32_t kind);

/* To which array of a payload a chunk belongs. The kind of array stands in the top 8 bits of its
 * id, the slice in the low 24. */
typedef enum lort_array {
    LORT_ARRAY_RAW = 0,
    LORT_ARRAY_LEFT = 1,
    LORT_ARRAY_RIGHT = 2,
    LORT_ARRAY_CODES = 3,
    LORT_ARRAY_BLOCKS = 4,
    LORT_ARRAY_SCALES = 5,
    LORT_ARRAY_TRITS = 6,
    LORT_ARRAY_PLACES = 7,
    LORT_ARRAY_OUTLIERS = 8
} lort_array;
#define LORT_ARRAY_ID(array, slice) ((uint32_t)(array) << 24 | (uint32_t)(slice))
#define LORT_MAX_SLICES (1u << 24)

typedef struct lort_array_info {
    lort_term_kind term; /* the term that owns it */
    bool right;          /* its type and planes are those of the term's right side */
    bool frames;         /* a chunk may be several zstd frames, one behind the other */
} lort_array_info;

/* Returns the row of the array that an id names. The id must come from a checked part. */
const lort_array_info *lort_array_get(uint32_t id);

#endif
