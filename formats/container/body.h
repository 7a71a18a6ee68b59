/* body: fields of a record's body that come from outside: each is checked before it is used. */
#ifndef LORT_FORMATS_CONTAINER_BODY_H
#define LORT_FORMATS_CONTAINER_BODY_H

#include "formats/base/alloc.h"
#include "formats/base/bytes.h"

/* A cursor over a body. Its failures are LORT_E_DAMAGED. */
lort_cursor lort_body_cursor(const uint8_t *body, uint64_t bytes, lort_error *err);
/* Refuses a count whose entries, of `least` bytes or more, cannot fit into what is left, before
 * anything is allocated for them. */
lort_code lort_body_count_fits(lort_cursor *c, uint64_t count, uint64_t least, const char *what);
/* A UTF-8 text of n bytes, at most `max`, without NUL; the copy is the arena's. */
lort_code lort_body_text(lort_cursor *c, lort_arena *arena, uint32_t n, uint32_t max,
                         const char *what, const char **out, lort_error *err);
/* The same behind its length, a u32. */
lort_code lort_body_string(lort_cursor *c, lort_arena *arena, uint32_t max, const char *what,
                           const char **out, lort_error *err);
/* The last field of MODEL and PART: bytes a later minor version may add, skipped; nothing may
 * follow. */
lort_code lort_body_end(lort_cursor *c);
/* Clears *out where code is a failure. Returns code. */
lort_code lort_body_or_nothing(lort_code code, void *out, size_t bytes);

#endif
