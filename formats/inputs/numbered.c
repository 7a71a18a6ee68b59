/* numbered: see numbered.h. */
#include "formats/inputs/numbered.h"
#include "formats/base/text.h"
#include <stdio.h>
#include <string.h>

#define MOST_DIGITS 64u

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* Reads 1 to MOST_DIGITS digits. Returns how many there are, or 0 where the value is too large. */
static uint32_t read_digits(const char *text, uint32_t *value)
{
    uint32_t n = 0;
    *value = 0;
    for (; is_digit(text[n]); n++) {
        *value = *value * 10 + (uint32_t)(text[n] - '0');
        if (n == MOST_DIGITS || *value > LORT_NUMBERED_MOST)
            return 0;
    }
    return n;
}

/* llama.cpp finds a split by five digits, numbered from 1. */
static bool is_gguf_split(const char *ending, const lort_numbered *form, uint32_t count_digits)
{
    return strcmp(ending, ".gguf") == 0 && form->digits == 5 && count_digits == 5 &&
           form->number > 0 && form->prefix_bytes > 1;
}

/* of: the "-of-" of the name */
static bool parse_at(const char *name, const char *of, lort_numbered *out)
{
    const char *first = of;
    uint32_t number, count;
    while (first > name && is_digit(first[-1]))
        first--;
    const uint32_t digits = read_digits(first, &number), more = read_digits(of + 4, &count);
    const char *ending = of + 4 + more, before = first > name ? first[-1] : '-';
    if (!digits || !more || *ending != '.' || number > count || count == 0 ||
        first - name > UINT16_MAX)
        return false;
    *out = (lort_numbered){(uint32_t)(first - name), digits, number, count};
    return (before == '-' && is_gguf_split(ending, out, more)) ||
           (strchr("-_.", before) && lort_text_ends(ending, ".safetensors"));
}

bool lort_numbered_parse(const char *name, lort_numbered *out)
{
    for (const char *of = strstr(name, "-of-"); of; of = strstr(of + 1, "-of-"))
        if (parse_at(name, of, out))
            return true;
    *out = (lort_numbered){0};
    return false;
}

const char *lort_numbered_rest(const char *name, const lort_numbered *form)
{
    return name + form->prefix_bytes + form->digits;
}

void lort_numbered_make(const char *name, const lort_numbered *form, uint32_t number, char *out,
                        size_t cap)
{
    snprintf(out, cap, "%.*s%0*u%s", (int)form->prefix_bytes, name, (int)form->digits, number,
             lort_numbered_rest(name, form));
}
