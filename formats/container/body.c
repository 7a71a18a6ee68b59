/* body: see body.h. */
#include "formats/container/body.h"
#include "formats/base/text.h"
#include <string.h>

typedef unsigned long long ull;

lort_cursor lort_body_cursor(const uint8_t *body, uint64_t bytes, lort_error *err)
{
    static const uint8_t nothing[1];
    return lort_cursor_make(bytes ? body : nothing, bytes, bytes, LORT_E_DAMAGED, err);
}

lort_code lort_body_count_fits(lort_cursor *c, uint64_t count, uint64_t least, const char *what)
{
    if (c->code == LORT_OK && count > (c->limit - c->at) / least)
        return lort_cursor_fail(c, "%llu %s do not fit into the %llu bytes left", (ull)count, what,
                                (ull)(c->limit - c->at));
    return c->code;
}

lort_code lort_body_text(lort_cursor *c, lort_arena *arena, uint32_t n, uint32_t max,
                         const char *what, const char **out, lort_error *err)
{
    if (c->code == LORT_OK && n > max)
        return lort_cursor_fail(c, "%s has %u bytes (at most %u)", what, n, max);
    const uint8_t *p = lort_get_bytes(c, n, what);
    if (!p)
        return c->code;
    if (!lort_utf8_valid(p, n) || (n && memchr(p, 0, n)))
        return lort_cursor_fail(c, "%s is not UTF-8 text without NUL", what);
    return lort_arena_text(arena, p, n, out, err);
}

lort_code lort_body_string(lort_cursor *c, lort_arena *arena, uint32_t max, const char *what,
                           const char **out, lort_error *err)
{
    uint32_t n = lort_get_u32(c, what);
    return lort_body_text(c, arena, n, max, what, out, err);
}

lort_code lort_body_end(lort_cursor *c)
{
    uint32_t n = lort_get_u32(c, "extension size");
    lort_get_bytes(c, n, "extension");
    if (c->code == LORT_OK && c->at != c->limit)
        return lort_cursor_fail(c, "%llu bytes follow the end of the record (allowed: 0)",
                                (ull)(c->limit - c->at));
    return c->code;
}
lort_code lort_body_or_nothing(lort_code code, void *out, size_t bytes)
{
    if (code)
        memset(out, 0, bytes);
    return code;
}
