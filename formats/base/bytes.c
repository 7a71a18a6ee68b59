/* bytes: see bytes.h. All reads of the cursor go through cursor_has. */
#include "formats/base/bytes.h"
#include <stdarg.h>
#include <stdio.h>

bool lort_add_u64(uint64_t a, uint64_t b, uint64_t *out)
{
    if (a > UINT64_MAX - b)
        return false;
    *out = a + b;
    return true;
}

bool lort_mul_u64(uint64_t a, uint64_t b, uint64_t *out)
{
    if (b && a > UINT64_MAX / b)
        return false;
    *out = a * b;
    return true;
}

bool lort_align_up(uint64_t v, uint64_t alignment, uint64_t *out)
{
    uint64_t up;
    if (!lort_add_u64(v, alignment - 1, &up))
        return false;
    *out = up & ~(alignment - 1);
    return true;
}

uint64_t lort_gcd(uint64_t a, uint64_t b)
{
    while (b) {
        const uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

lort_cursor lort_cursor_make(const void *data, uint64_t available, uint64_t limit,
                             lort_code overrun, lort_error *err)
{
    return (lort_cursor){
        .data = data, .available = available, .limit = limit, .error = err, .overrun = overrun};
}

/* True if n more bytes are at hand. Otherwise it records the reason. */
static bool cursor_has(lort_cursor *c, uint64_t n, const char *what)
{
    if (c->code)
        return false;
    if (n > c->limit - c->at) {
        c->code = lort_fail(c->error, c->overrun,
                            "truncated: %s needs %llu bytes at offset %llu, the file ends at %llu",
                            what, (unsigned long long)n, (unsigned long long)c->at,
                            (unsigned long long)c->limit);
        return false;
    }
    if (n > c->available - c->at) {
        c->wanted = c->at + n;
        c->code = lort_fail(c->error, c->overrun, "%s lies beyond the %llu bytes read so far", what,
                            (unsigned long long)c->available);
        return false;
    }
    return true;
}

const uint8_t *lort_get_bytes(lort_cursor *c, uint64_t n, const char *what)
{
    if (!cursor_has(c, n, what))
        return NULL;
    const uint8_t *p = c->data + c->at;
    c->at += n;
    return p;
}

uint8_t lort_get_u8(lort_cursor *c, const char *what)
{
    const uint8_t *p = lort_get_bytes(c, 1, what);
    return p ? p[0] : 0;
}

uint16_t lort_get_u16(lort_cursor *c, const char *what)
{
    const uint8_t *p = lort_get_bytes(c, 2, what);
    return p ? lort_load_u16(p) : 0;
}

uint32_t lort_get_u32(lort_cursor *c, const char *what)
{
    const uint8_t *p = lort_get_bytes(c, 4, what);
    return p ? lort_load_u32(p) : 0;
}

uint64_t lort_get_u64(lort_cursor *c, const char *what)
{
    const uint8_t *p = lort_get_bytes(c, 8, what);
    return p ? lort_load_u64(p) : 0;
}

lort_code lort_cursor_fail(lort_cursor *c, const char *format, ...)
{
    if (c->code)
        return c->code;
    char message[sizeof c->error->message];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    c->code = lort_fail(c->error, c->overrun, "%.900s at offset %llu", message,
                        (unsigned long long)c->at);
    return c->code;
}
