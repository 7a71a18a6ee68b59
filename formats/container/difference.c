/* difference: see difference.h. A binary range coder with chances that adapt.
 *
 * An element is a number of 1, 2 or 4 bytes. Its bits are turned into an integer of the same order
 * as the values, so that neighbouring numbers differ by 1. The difference of two such integers is
 * coded as: is it 0; its size in bits; its sign; its bits below the top one. The class of the base,
 * its exponent, chooses the chances: the step of a floating-point number goes with the exponent. */
#include "formats/container/difference.h"
#include "formats/base/bytes.h"

#define QUICK 6   /* of `quick` a 64th is new with each bit */
#define SLOW 8    /* of `slow` a 256th */
#define LEAST 32u /* chances are 32 to 65504 of 65536 */
#define TOP 0x1000000u
#define SIZE_BITS 5 /* a size is 1 to 32 */
#define HIGH_BITS 3 /* below the top bit: their chances depend on one another */

/* How the bytes of a type are numbers. */
typedef struct shape {
    unsigned width;    /* bytes */
    unsigned exponent; /* bits; 0: a number without an exponent, and without order */
} shape;

static shape shape_of(const lort_dtype_info *type)
{
    switch (type->id) {
    case LORT_F32:
        return (shape){4, 8};
    case LORT_BF16:
        return (shape){2, 8};
    case LORT_F16:
        return (shape){2, 5};
    default:
        return (shape){1, 0};
    }
}

/* ---- numbers ---- */

static uint32_t load(const shape *s, const uint8_t *p)
{
    return s->width == 1 ? *p : s->width == 2 ? lort_load_u16(p) : lort_load_u32(p);
}

static void store(const shape *s, uint8_t *p, uint32_t bits)
{
    if (s->width == 1)
        *p = (uint8_t)bits;
    else if (s->width == 2)
        lort_store_u16(p, (uint16_t)bits);
    else
        lort_store_u32(p, bits);
}

/* Bits of sign and magnitude to an integer in the order of the values, modulo 2^(8 width). -0 is
 * one below +0. The same function turns it back. */
static uint32_t ordered(const shape *s, uint32_t bits)
{
    const uint32_t top = 1u << (8 * s->width - 1);
    return s->exponent && bits & top ? bits ^ (top - 1) : bits;
}

/* A number of `width` bytes with its sign, as a size and a sign. */
static uint32_t magnitude(const shape *s, uint32_t difference, bool *negative)
{
    const uint32_t top = 1u << (8 * s->width - 1), mask = top | (top - 1);
    difference &= mask;
    *negative = difference & top;
    return *negative ? (0u - difference) & mask : difference;
}

static unsigned bits_of(uint32_t value)
{
    unsigned n = 0;
    for (; value; value >>= 1)
        n++;
    return n;
}

static unsigned class_of(const shape *s, uint32_t base)
{
    const unsigned magnitude_bits = 8 * s->width - 1;
    return s->exponent ? (base & ((1u << magnitude_bits) - 1)) >> (magnitude_bits - s->exponent)
                       : 0;
}

static unsigned sign_of(const shape *s, uint32_t base)
{
    return s->exponent ? base >> (8 * s->width - 1) : 0;
}

/* ---- chances ---- */

static void fill(lort_chance *chances, size_t count)
{
    for (size_t i = 0; i < count; i++)
        chances[i] = (lort_chance){32768, 32768, 0};
}

static void begin(lort_difference_space *space)
{
    fill(space->any, sizeof space->any / sizeof(lort_chance));
    fill(space->size[0], sizeof space->size / sizeof(lort_chance));
    fill(space->sign[0], sizeof space->sign / sizeof(lort_chance));
    fill(space->high[0], sizeof space->high / sizeof(lort_chance));
    fill(space->low[0], sizeof space->low / sizeof(lort_chance));
}

/* The chance of a 1, in units of 2^-16. */
static inline uint32_t chance_of(const lort_chance *c)
{
    const uint32_t mean = ((uint32_t)c->quick + c->slow) >> 1;
    return mean < LEAST ? LEAST : mean > 65536 - LEAST ? 65536 - LEAST : mean;
}

/* A chance learns faster from its first bits. */
static inline void learn(lort_chance *c, unsigned bit)
{
    const unsigned quick = c->seen + 1u < QUICK ? c->seen + 1u : QUICK,
                   slow = c->seen + 1u < SLOW ? c->seen + 1u : SLOW;
    c->seen += c->seen < SLOW;
    if (bit) {
        c->quick = (uint16_t)(c->quick + ((65535u - c->quick) >> quick));
        c->slow = (uint16_t)(c->slow + ((65535u - c->slow) >> slow));
    } else {
        c->quick = (uint16_t)(c->quick - (c->quick >> quick));
        c->slow = (uint16_t)(c->slow - (c->slow >> slow));
    }
}

/* ---- the range coder ---- */

typedef struct writer {
    uint8_t *dst;
    uint64_t at, most, pending; /* pending: bytes of 0xFF that a carry may still change */
    uint64_t low;
    uint32_t range;
    uint8_t held;
    bool first; /* the first byte is always 0, and is left out */
} writer;

static void put_byte(writer *w, uint8_t byte)
{
    if (w->first) {
        w->first = false;
        return;
    }
    if (w->at < w->most)
        w->dst[w->at] = byte;
    w->at++;
}

static void shift(writer *w)
{
    if (w->low < 0xFF000000u || w->low > 0xFFFFFFFFu) {
        const uint8_t carry = (uint8_t)(w->low >> 32);
        put_byte(w, (uint8_t)(w->held + carry));
        for (; w->pending; w->pending--)
            put_byte(w, (uint8_t)(0xFF + carry));
        w->held = (uint8_t)(w->low >> 24);
    } else {
        w->pending++;
    }
    w->low = (w->low & 0x00FFFFFFu) << 8;
}

static void put_bit(writer *w, lort_chance *c, unsigned bit)
{
    const uint32_t bound = (w->range >> 16) * chance_of(c);
    if (bit) {
        w->range = bound;
    } else {
        w->low += bound;
        w->range -= bound;
    }
    learn(c, bit);
    for (; w->range < TOP; w->range <<= 8)
        shift(w);
}

typedef struct reader {
    const uint8_t *src;
    uint64_t at, size;
    uint32_t range, code;
} reader;

static uint32_t next_byte(reader *r)
{
    const uint64_t at = r->at++;
    return at < r->size ? r->src[at] : 0;
}

static unsigned get_bit(reader *r, lort_chance *c)
{
    const uint32_t bound = (r->range >> 16) * chance_of(c);
    const unsigned bit = r->code < bound;
    if (bit) {
        r->range = bound;
    } else {
        r->code -= bound;
        r->range -= bound;
    }
    learn(c, bit);
    for (; r->range < TOP; r->range <<= 8)
        r->code = r->code << 8 | next_byte(r);
    return bit;
}

/* ---- elements ---- */

static void put_element(writer *w, const shape *s, uint32_t bits, uint32_t base,
                        lort_difference_space *space)
{
    bool negative;
    const unsigned class = class_of(s, base);
    const uint32_t m = magnitude(s, ordered(s, bits) - ordered(s, base), &negative);
    put_bit(w, &space->any[class], m != 0);
    if (m == 0)
        return;
    const unsigned size = bits_of(m);
    for (unsigned node = 1, i = SIZE_BITS; i-- > 0;) {
        const unsigned bit = (size - 1) >> i & 1;
        put_bit(w, &space->size[class][node], bit);
        node = 2 * node + bit;
    }
    put_bit(w, &space->sign[class][sign_of(s, base)], negative);
    for (unsigned node = 1, i = size - 1; i-- > 0;) {
        const unsigned bit = m >> i & 1;
        const bool high = size - 1 - i <= HIGH_BITS;
        put_bit(w, high ? &space->high[size][node] : &space->low[size][i], bit);
        node = high ? 2 * node + bit : node;
    }
}

/* Sets *bits. Returns false if the size is none of the type. */
static bool get_element(reader *r, const shape *s, uint32_t base, lort_difference_space *space,
                        uint32_t *bits)
{
    const unsigned class = class_of(s, base);
    *bits = base;
    if (!get_bit(r, &space->any[class]))
        return true;
    unsigned size = 1;
    for (unsigned i = 0; i < SIZE_BITS; i++)
        size = 2 * size + get_bit(r, &space->size[class][size]);
    size -= (1u << SIZE_BITS) - 1;
    const bool negative = get_bit(r, &space->sign[class][sign_of(s, base)]);
    uint32_t m = 1;
    for (unsigned node = 1, i = size - 1; i-- > 0;) {
        const bool high = size - 1 - i <= HIGH_BITS;
        const unsigned bit = get_bit(r, high ? &space->high[size][node] : &space->low[size][i]);
        m = 2 * m + bit;
        node = high ? 2 * node + bit : node;
    }
    *bits = ordered(s, ordered(s, base) + (negative ? 0u - m : m));
    return size <= 8 * s->width;
}

uint64_t lort_difference_encode(const lort_dtype_info *type, const uint8_t *src,
                                const uint8_t *base, uint64_t bytes, uint8_t *dst, uint64_t most,
                                lort_difference_space *space)
{
    const shape s = shape_of(type);
    writer w = {.dst = dst, .most = most, .range = 0xFFFFFFFFu, .first = true};
    if (memcmp(src, base, (size_t)bytes) == 0)
        return 0;
    begin(space);
    for (uint64_t i = 0; i < bytes && w.at < most; i += s.width)
        put_element(&w, &s, load(&s, src + i), load(&s, base + i), space);
    for (unsigned i = 0; i < 5; i++)
        shift(&w);
    return w.at < most ? w.at : UINT64_MAX;
}

lort_code lort_difference_decode(const lort_dtype_info *type, const uint8_t *body,
                                 uint64_t body_bytes, uint8_t *data, uint64_t bytes,
                                 lort_difference_space *space, lort_error *err)
{
    const shape s = shape_of(type);
    reader r = {.src = body, .size = body_bytes, .range = 0xFFFFFFFFu};
    if (body_bytes == 0)
        return LORT_OK;
    begin(space);
    for (unsigned i = 0; i < 4; i++)
        r.code = r.code << 8 | next_byte(&r);
    for (uint64_t i = 0; i < bytes; i += s.width) {
        uint32_t bits;
        if (!get_element(&r, &s, load(&s, data + i), space, &bits) || r.at > r.size)
            return lort_fail(err, LORT_E_DAMAGED,
                             "a chunk of differences is no sound one at element %llu: its body has "
                             "%llu bytes",
                             (unsigned long long)(i / s.width), (unsigned long long)body_bytes);
        store(&s, data + i, bits);
    }
    if (r.at != r.size)
        return lort_fail(err, LORT_E_DAMAGED,
                         "a chunk of differences has %llu bytes more than its elements need",
                         (unsigned long long)(r.size - r.at));
    return LORT_OK;
}
