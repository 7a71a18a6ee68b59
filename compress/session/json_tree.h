/* json_tree: values, objects and arrays of JSON, made from tables of fields; the only user of
 * <jansson.h>.
 *
 * If memory runs out, a node is NULL, and so is all that should hold it. Functions take the nodes
 * among their arguments over, also where they return NULL. */
#ifndef LORT_COMPRESS_SESSION_JSON_TREE_H
#define LORT_COMPRESS_SESSION_JSON_TREE_H

#include "formats/base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct json_t lort_node;

/* How a field is written. U64_KNOWN writes null for 0, which means "unknown". NONE: null, for a
 * member that is put in its place later. */
typedef enum lort_field_kind {
    LORT_FIELD_NONE,
    LORT_FIELD_TEXT, /* const char *; "" and NULL are null */
    LORT_FIELD_U32,
    LORT_FIELD_U64,
    LORT_FIELD_U64_KNOWN,
    LORT_FIELD_I64,
    LORT_FIELD_REAL, /* double; NaN and Inf are null */
    LORT_FIELD_ACTION,
    LORT_FIELD_MODE,
    LORT_FIELD_PHASE
} lort_field_kind;
typedef struct lort_field {
    const char *name;
    lort_field_kind kind;
    size_t at; /* offset in the struct */
} lort_field;

lort_node *lort_node_object(void);
lort_node *lort_node_array(void);
/* Puts a member into an object, or takes the place of the one with this key. */
lort_node *lort_node_with(lort_node *object, const char *key, lort_node *value);
/* Puts a member into an object; where the key is there, the values become a list. */
lort_node *lort_node_join(lort_node *object, const char *key, lort_node *value);
lort_node *lort_node_add(lort_node *array, lort_node *item);
/* Puts all members of `fields` into an object. */
lort_node *lort_node_merge(lort_node *object, lort_node *fields);
/* An object of the fields of the struct at `base`. */
lort_node *lort_node_fields(const lort_field *fields, size_t count, const void *base);
#define LORT_NODE_OF(fields, base) lort_node_fields(fields, sizeof(fields) / sizeof *(fields), base)

lort_node *lort_node_null(void);
lort_node *lort_node_whole(int64_t v);
lort_node *lort_node_u64(uint64_t v);          /* at most INT64_MAX */
lort_node *lort_node_real(double v);           /* null: not finite */
lort_node *lort_node_text(const char *text);   /* null: "" or NULL */
lort_node *lort_node_string(const char *text); /* UTF-8 */
/* The value of a JSON literal; a string if JSON has no such literal. */
lort_node *lort_node_literal(const char *text);

/* Fails with LORT_E_MEMORY: there is no memory for a text. */
lort_code lort_node_no_memory(lort_error *err);

/* Takes a piece of the text. */
typedef lort_code lort_node_put(void *ctx, const void *bytes, size_t n, lort_error *err);
/* Writes the text of a node in pieces, with a line feed at its end, and frees the node. Format
 * characters are escaped, so that the text is harmless on a terminal. line: all in one line; else
 * a member a line. root: NULL is LORT_E_MEMORY. On failure: LORT_E_MEMORY; the code of `put`. */
lort_code lort_node_write(lort_node *root, bool line, lort_node_put *put, void *ctx,
                          lort_error *err);

/* The version of jansson: "2.14". */
const char *lort_json_version(void);

#endif
