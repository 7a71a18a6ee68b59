/* text: what untrusted and numeric texts look like: UTF-8, escaping for a terminal or a message,
 * and sizes such as "1.5 GiB". */
#ifndef LORT_FORMATS_BASE_TEXT_H
#define LORT_FORMATS_BASE_TEXT_H

#include "formats/base/error.h"
#include <stdbool.h>
#include <stdint.h>

/* True if the n bytes are well-formed UTF-8 (no surrogates, no overlong forms, at most U+10FFFF).
 */
bool lort_utf8_valid(const void *bytes, uint64_t n);
/* Writes `n` untrusted bytes as printable UTF-8: control characters, invalid UTF-8 and backslash
 * become \xHH. The result is NUL-terminated, at most `cap` bytes with the NUL, cut with "..." where
 * it does not fit. Returns `out`. */
const char *lort_escape(char *out, size_t cap, const void *bytes, size_t n);
/* the same of a NUL-terminated one */
const char *lort_escape_text(char *out, size_t cap, const char *text);
/* "256M", "1.5G", "4096": bytes, more than 0 and less than 2^63; K M G T are 2^10.. (KiB, MB, k =
 * same). The point is a point in every locale. LORT_E_USAGE with the allowed form. */
lort_code lort_size_parse(const char *text, uint64_t *bytes, lort_error *err);
/* "1.5 GiB". */
const char *lort_size_text(uint64_t bytes, char *out, size_t cap);
#endif
