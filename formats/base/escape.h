/* escape: UTF-8, and untrusted text made harmless for a terminal. Every function here is pure. */
#ifndef LORT_FORMATS_BASE_ESCAPE_H
#define LORT_FORMATS_BASE_ESCAPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* True if the n bytes are well-formed UTF-8: no surrogates, no overlong forms, at most U+10FFFF. */
bool lort_utf8_valid(const void *bytes, uint64_t n);
/* The bytes of the first character of n > 0 bytes, and its *code_point; 0 if it is malformed. */
unsigned lort_utf8_next(const void *bytes, uint64_t n, uint32_t *code_point);
/* True for a format character: a code point that shows nothing and may change how others show.
 * These are the general categories Cf, Zl and Zp of Unicode, and the code points that Unicode lets
 * a display ignore, such as variation selectors. */
bool lort_is_format(uint32_t code_point);

/* Each of these writes n bytes to `out`. out: `cap` bytes; the result is UTF-8 and ends with a NUL.
 * If the text does not fit, it is cut and ends with "...". Returns `out`. An escape is \xHH for
 * each byte. lort_escape        escapes control characters, format characters, invalid UTF-8 and
 * backslashes. lort_escape_plain  keeps format characters: for texts of a report, which JSON gives
 * as they are. lort_printable     keeps backslashes: for a text whose parts are escaped already. So
 * a second call changes nothing. */
const char *lort_escape(char *out, size_t cap, const void *bytes, size_t n);
const char *lort_escape_plain(char *out, size_t cap, const void *bytes, size_t n);
const char *lort_printable(char *out, size_t cap, const void *bytes, size_t n);
/* As lort_escape, for a NUL-terminated text. */
const char *lort_escape_text(char *out, size_t cap, const char *text);

#ifdef __cplusplus
}
#endif
#endif
