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

/* ---- reading ---- */

/* Parses a text of n bytes. It must be JSON that jansson accepts: a caller checks that first. So a
 * failure is one of memory, which jansson tells as a fault of the text. Of equal keys the last one
 * counts. The caller frees *out with lort_node_free. On failure: LORT_E_MEMORY. */
lort_code lort_node_read(const void *text, size_t n, lort_node **out, lort_error *err);
void lort_node_free(lort_node *node); /* accepts NULL */
/* A member of an object; NULL if there is none, it is null, or `object` is no object. */
lort_node *lort_node_get(const lort_node *object, const char *key);
/* Items of an array; 0 for anything else. at: NULL past the end. */
uint64_t lort_node_count(const lort_node *array);
lort_node *lort_node_at(const lort_node *array, uint64_t i);
bool lort_node_is_object(const lort_node *node);
/* The text of a string; NULL for anything else. */
const char *lort_node_chars(const lort_node *node);
/* A number; NaN for anything else. */
double lort_node_number(const lort_node *node);
/* Walks over the members of an object in the order of the text. Begin with *at NULL. False at the
 * end. */
bool lort_node_next(lort_node *object, void **at, const char **key, const lort_node **value);

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
