/* json: a strict pull scanner for untrusted JSON headers (RFC 8259). It has no tree, no recursion,
 * bounded depth, and exact integers. Callers detect duplicate keys, after unescaping, since they
 * know which names must differ. Code that writes reports or reads trusted files uses jansson. */
#ifndef LORT_FORMATS_INPUTS_JSON_H
#define LORT_FORMATS_INPUTS_JSON_H

#include "formats/base/error.h"
#include <stdbool.h>
#include <stdint.h>

#define LORT_JSON_MAX_DEPTH 64

typedef enum lort_json_token {
    LORT_JSON_ERROR,
    LORT_JSON_END, /* the one top-level value is over; only white space follows */
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
    /* Offset of `data` in its file, which is added to the offsets in messages. */
    uint64_t base;
    uint64_t token_at; /* offset of the current token in `data` */
    /* The current KEY or STRING, still escaped and without quotes, or the text of the NUMBER. */
    uint64_t text, text_size;
    bool escaped; /* the current string holds a backslash */
    uint32_t depth;
    uint8_t stack[LORT_JSON_MAX_DEPTH]; /* '{' or '[' for each level */
    uint8_t state;
    lort_error *error;
    lort_code code;
} lort_json;

/* Returns a scanner before the first token. data: must stay where it is. */
lort_json lort_json_start(const void *data, uint64_t size, lort_error *err);
/* Reads the next token. Returns LORT_JSON_ERROR on failure, and from then on; the scanner has the
 * code. */
lort_json_token lort_json_next(lort_json *json);
/* Skips a value to its end, without recursion. first: its first token. Returns false on failure. */
bool lort_json_skip(lort_json *json, lort_json_token first);
/* Unescapes the current KEY or STRING into out. out: at least text_size bytes; no NUL is added.
 * Returns the length, at most text_size. The scanner has refused lone surrogates before. */
uint64_t lort_json_text(const lort_json *json, char *out);
/* Compares the current KEY or STRING, unescaped, with a literal. Needs no buffer. */
bool lort_json_text_is(const lort_json *json, const char *literal);
/* Puts the current NUMBER into *out. Returns false unless it is digits only ("-0", 1.0 and 1e3 are
 * refused) and fits. */
bool lort_json_u64(const lort_json *json, uint64_t *out);
/* Records a failure, with " at offset N" of the token, unless the scanner holds one already.
 * Returns the code of the failure that the scanner holds. */
lort_code lort_json_fail(lort_json *json, const char *format, ...) LORT_PRINTF(2, 3);

#endif
