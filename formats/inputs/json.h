/* json: a strict pull scanner for untrusted JSON headers (RFC 8259). No tree, no recursion, bounded
 * depth, exact integers. Duplicate keys are the caller's to detect, after unescaping (it knows
 * which names must differ). Reports are written, and trusted files read, by jansson instead. */
#ifndef LORT_FORMATS_INPUTS_JSON_H
#define LORT_FORMATS_INPUTS_JSON_H

#include "formats/base/error.h"
#include <stdbool.h>
#include <stdint.h>

#define LORT_JSON_MAX_DEPTH 64

typedef enum lort_json_token {
    LORT_JSON_ERROR,
    LORT_JSON_END, /* END: the one top-level value is over and only white space follows */
    LORT_JSON_OBJECT,
    LORT_JSON_OBJECT_END,
    LORT_JSON_ARRAY,
    LORT_JSON_ARRAY_END,
    LORT_JSON_KEY,
    LORT_JSON_STRING,
    LORT_JSON_NUMBER,
    LORT_JSON_TRUE,
    LORT_JSON_FALSE,
    LORT_JSON_NULL
} lort_json_token;

typedef struct lort_json {
    const uint8_t *data;
    uint64_t size, at;
    /* where `data` starts in its file: added to the offsets in messages */
    uint64_t base;
    uint64_t token_at; /* offset of the current token, for messages */
    /* the raw (still escaped) inside of the current KEY or STRING, or the NUMBER's text */
    uint64_t text, text_size;
    bool escaped; /* the current string holds a backslash */
    uint32_t depth;
    uint8_t stack[LORT_JSON_MAX_DEPTH]; /* '{' or '[' per level */
    uint8_t state;
    lort_error *error;
    lort_code code;
} lort_json;

lort_json lort_json_start(const void *data, uint64_t size, lort_error *err);
lort_json_token lort_json_next(lort_json *json);
/* After OBJECT or ARRAY (or any value): skips to its end, without recursion. False on error. */
bool lort_json_skip(lort_json *json, lort_json_token first);
/* The current KEY or STRING unescaped into out (cap >= text_size, no NUL is added); returns its
 * length, at most text_size. Lone surrogates never get here. */
uint64_t lort_json_text(const lort_json *json, char *out);
/* compares unescaped, without a buffer */
bool lort_json_text_is(const lort_json *json, const char *literal);
/* The current NUMBER as an exact integer: false unless it is digits only ("-0", 1.0 and 1e3 are
 * refused) and fits. */
bool lort_json_u64(const lort_json *json, uint64_t *out);
/* Records a failure (unless one sticks already), with " at offset N" of the token. Returns the
 * sticking code. */
lort_code lort_json_fail(lort_json *json, const char *format, ...) LORT_PRINTF(2, 3);

#endif
