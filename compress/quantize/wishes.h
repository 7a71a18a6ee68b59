/* wishes: what the user asks of quantize, checked and parsed. */
#ifndef LORT_COMPRESS_QUANTIZE_WISHES_H
#define LORT_COMPRESS_QUANTIZE_WISHES_H

#include "compress/choice/recipe.h"
#include "compress/quantize/quantizer.h"

/* What --type, --types and --tensor-type say. */
typedef struct lort_wishes {
    lort_type_list types;     /* BPW, SIZE: to choose from */
    lort_override *overrides; /* [count], in the arena of the quantizer */
    uint64_t count;
    const lort_mix *mix; /* TYPE; else NULL */
} lort_wishes;

/* Checks that the options go together. output: NULL: none is given. On failure: LORT_E_USAGE. */
lort_code lort_wishes_check(const lort_quantize_options *options, const char *output,
                            lort_error *err);
/* Parses the names of types. On failure: LORT_E_USAGE, or LORT_E_MEMORY. */
lort_code lort_wishes_parse(lort_quantizer *q, lort_wishes *out, lort_error *err);
/* Appends the options that decide bytes, as words with a space before each. */
lort_code lort_wishes_put(lort_quantizer *q, const lort_wishes *wishes, lort_buffer *out,
                          lort_error *err);

#endif
