/* body: reads fields of a record's body. A body comes from outside, so each field is checked before
 * use. On failure every function here gives LORT_E_DAMAGED (or LORT_E_MEMORY for a copy). */
#ifndef LORT_FORMATS_CONTAINER_BODY_H
#define LORT_FORMATS_CONTAINER_BODY_H

#include "formats/base/alloc.h"
#include "formats/base/bytes.h"

/* Returns a cursor over a body; its failures are LORT_E_DAMAGED. */
lort_cursor lort_body_cursor(const uint8_t *body, uint64_t bytes, lort_error *err);
/* Refuses a count whose entries do not fit into the bytes left, before memory is taken for them.
 * least: the fewest bytes of an entry. */
lort_code lort_body_count_fits(lort_cursor *c, uint64_t count, uint64_t least, const char *what);
/* Reads a UTF-8 text of n <= max bytes without NUL. Owner of the copy: the arena. */
lort_code lort_body_text(lort_cursor *c, lort_arena *arena, uint32_t n, uint32_t max,
                         const char *what, const char **out, lort_error *err);
/* Reads a u32 length and then a text, as lort_body_text. */
lort_code lort_body_string(lort_cursor *c, lort_arena *arena, uint32_t max, const char *what,
                           const char **out, lort_error *err);
/* Reads the last field of MODEL and PART: bytes that a later minor version may add. They are
 * skipped, and nothing may follow. */
lort_code lort_body_end(lort_cursor *c);
/* Sets *out to zero if `code` is a failure. Returns `code`. */
lort_code lort_body_or_nothing(lort_code code, void *out, size_t bytes);

#endif
