/* text: UTF-8, escaping for a terminal or a message (escape.h), sizes such as "1.5 GiB", endings.
 */
#ifndef LORT_FORMATS_BASE_TEXT_H
#define LORT_FORMATS_BASE_TEXT_H

#include "formats/base/error.h"
#include "formats/base/escape.h"
#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Reads a size such as "256M", "1.5G" or "4096". K, M, G and T are powers of 1024; k, KB and KiB
 * mean K. The decimal separator is a point in every locale. *bytes: more than 0 and less than 2^63.
 * On failure: LORT_E_USAGE; the message gives the allowed form. */
lort_code lort_size_parse(const char *text, uint64_t *bytes, lort_error *err);
/* Writes a size such as "1.5 GiB" to `out`, and returns `out`. */
const char *lort_size_text(uint64_t bytes, char *out, size_t cap);
/* True if the text, or its first `bytes` bytes, ends with `end`. */
bool lort_text_ends(const char *text, const char *end);
bool lort_text_ends_in(const char *text, uint64_t bytes, const char *end);

#ifdef __cplusplus
}
#endif
#endif
