/* keys: see keys.h. */
#include "compress/task/keys.h"
#include "formats/base/text.h"
#include <string.h>

typedef struct line {
    const char *text;
    uint64_t bytes, label; /* label: bytes before the TAB */
} line;

static line next_line(const char **at, const char *end)
{
    const char *text = *at, *stop = text < end ? memchr(text, '\n', (size_t)(end - text)) : NULL;
    stop = stop ? stop : end;
    const char *tab = stop > text ? memchr(text, '\t', (size_t)(stop - text)) : NULL;
    *at = stop < end ? stop + 1 : end;
    return (line){text, (uint64_t)(stop - text),
                  tab ? (uint64_t)(tab - text) : (uint64_t)(stop - text)};
}

static bool same_text(const char *a, uint64_t a_bytes, const char *b, uint64_t b_bytes)
{
    return a_bytes == b_bytes && memcmp(a, b, a_bytes) == 0;
}
static bool starts_with(const line *l, const char *with)
{
    return l->label >= strlen(with) && memcmp(l->text, with, strlen(with)) == 0;
}

static const char *value_of(const line *l, char *out, size_t cap)
{
    const uint64_t skip = l->label < l->bytes ? l->label + 1 : l->bytes;
    return l->bytes ? lort_escape(out, cap, l->text + skip, l->bytes - skip) : "nothing";
}

/* The line tells the input, not an option. */
static bool is_of_input(const line *l)
{
    static const char *const labels[] = {"file ", "size of ", "header of ", "version of ",
                                         "sample of "};
    bool is = false;
    for (size_t i = 0; i < sizeof labels / sizeof *labels; i++)
        is |= starts_with(l, labels[i]);
    return is;
}

static lort_code say_difference(const char *whose, bool tasks, const line *was, const line *is,
                                lort_error *err)
{
    static const line none = {"", 0, 0};
    char label[200], before[200], now[200];
    /* One key has a line that the other lacks. In a key options come before files. */
    if (!same_text(was->text, was->label, is->text, is->label))
        *(starts_with(is, "option") || was->bytes == 0 ? &was : &is) = &none;
    const line *named = is->bytes ? is : was;
    return lort_fail(err, is_of_input(named) ? LORT_E_READ : LORT_E_USAGE,
                     tasks ? "%s was made with another %s: %s there, %s here"
                           : "%s was begun with another %s: %s there, %s here",
                     whose, lort_escape(label, sizeof label, named->text, named->label),
                     value_of(was, before, sizeof before), value_of(is, now, sizeof now));
}

static bool is_task(const line *l)
{
    return same_text(l->text, l->label, LORT_KEY_TASK, strlen(LORT_KEY_TASK));
}

/* A key of an older LoRT has an mtime alone in a line of times, so it differs. */
lort_code lort_key_compare(const char *whose, lort_key old, lort_key now, bool tasks, bool *touched,
                           lort_error *err)
{
    const char *a = old.text, *b = now.text, *a_end = a + old.bytes, *b_end = b + now.bytes;
    while (a < a_end || b < b_end) {
        const line was = next_line(&a, a_end), is = next_line(&b, b_end);
        if (same_text(was.text, was.bytes, is.text, is.bytes) ||
            (tasks && is_task(&was) && is_task(&is)))
            continue;
        if (!same_text(was.text, was.label, is.text, is.label) || !starts_with(&is, LORT_KEY_TIME))
            return say_difference(whose, tasks, &was, &is, err);
        *touched = true;
    }
    return LORT_OK;
}

lort_code lort_key_hash(lort_key key, const lort_alloc *alloc, lort_hash128 *out, lort_error *err)
{
    const char *at = key.text, *end = key.text + key.bytes;
    lort_hasher *hasher;
    lort_code code = lort_hasher_open(alloc, &hasher, err);
    if (code)
        return code;
    while (at < end) {
        const line l = next_line(&at, end);
        if (!starts_with(&l, LORT_KEY_TIME) && !is_task(&l))
            lort_hasher_add(hasher, l.text, (uint64_t)(at - l.text));
    }
    *out = lort_hasher_value(hasher);
    lort_hasher_close(hasher);
    return LORT_OK;
}
