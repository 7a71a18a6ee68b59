/* Fuzz target: names. The set and the index find the names that were put in, and nothing else.
 * Plain names are plain. Names of shards are written as they are read. Escaped names are printable,
 * well-formed, and end within their room. Input: names behind line feeds. */
#include "formats/base/bytes.h"
#include "formats/base/names.h"
#include "formats/base/plain_name.h"
#include "formats/base/text.h"
#include "formats/inputs/numbered.h"
#include "fuzz_header.h"
#include "fuzz_input.h"

#define NAMES_MOST 60

typedef struct name {
    const char *text;
    uint32_t bytes;
} name;

static bool same(const name *a, const name *b)
{
    return a->bytes == b->bytes && memcmp(a->text, b->text, a->bytes) == 0;
}

static uint32_t first_like(const name *names, uint32_t n)
{
    uint32_t i = 0;
    while (!same(&names[i], &names[n]))
        i++;
    return i;
}

static void check_set(const name *names, uint32_t count)
{
    allocations l = {0};
    const lort_alloc alloc = {ledger_take, ledger_give, &l};
    lort_names set = {.alloc = &alloc};
    uint32_t unlike = 0, found;
    bool is_new;
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t first = first_like(names, i);
        const lort_names_slot *before = lort_names_find(&set, names[i].text, names[i].bytes);
        CHECK((before == NULL) == (first == i));
        CHECK(lort_names_add(&set, names[i].text, names[i].bytes, i, &is_new, &found, NULL) ==
                  LORT_OK &&
              is_new == (first == i) && found == first);
        unlike += is_new;
        CHECK(set.used == unlike);
    }
    CHECK(l.peak <= 4096 + 3 * 3 * sizeof(lort_names_slot) * (uint64_t)count);
    lort_names_free(&set);
    CHECK(l.out == 0 && l.blocks == 0);
}

static void check_index(const name *names, uint32_t count)
{
    lort_tensor tensors[NAMES_MOST] = {{0}};
    lort_arena arena = {.alloc = &lort_alloc_heap};
    lort_index index = {.tensors = tensors, .count = count};
    lort_error err = {0};
    bool twice = false;
    for (uint32_t i = 0; i < count; i++) {
        tensors[i].name = names[i].text;
        tensors[i].name_bytes = names[i].bytes;
        twice = twice || first_like(names, i) != i;
    }
    const lort_code code = lort_index_build(&index, &arena, &err);
    CHECK(code == (twice ? LORT_E_INPUT : LORT_OK));
    for (uint32_t i = 0; i < count && !twice; i++)
        CHECK(lort_index_find(&index, names[i].text, names[i].bytes) == &tensors[i]);
    lort_arena_free(&arena);
}

static void check_plain(const char *text, uint32_t bytes)
{
    lort_error err = {0};
    if (lort_plain_name(text, bytes, &err)) {
        CHECK(err.code == LORT_E_INPUT && lort_utf8_valid(err.message, strlen(err.message)));
        return;
    }
    CHECK(bytes > 0 && bytes < 256 && lort_utf8_valid(text, bytes) && !memchr(text, 0, bytes));
    for (uint32_t i = 0; i < bytes; i++)
        CHECK((uint8_t)text[i] >= 0x20 && !strchr("/\\:", text[i]));
    CHECK(!(bytes == 1 && text[0] == '.') && !(bytes >= 2 && text[0] == '.' && text[1] == '.'));
}

static void check_numbered(const char *text)
{
    lort_numbered form;
    char again[300];
    if (!lort_numbered_parse(text, &form)) {
        CHECK(form.prefix_bytes == 0 && form.digits == 0 && form.number == 0 && form.count == 0);
        return;
    }
    CHECK(form.number <= form.count && form.count <= LORT_NUMBERED_MOST);
    CHECK(form.prefix_bytes + form.digits < strlen(text));
    lort_numbered_make(text, &form, form.number, again, sizeof again);
    CHECK(strlen(text) >= sizeof again || strcmp(again, text) == 0);
}

static void check_made_plain(const char *text)
{
    char plain[LORT_PLAIN_NAME_MAX + 1];
    for (uint32_t lead = 0; lead < 3; lead++) {
        lort_plain_name_make(text, lead, plain);
        CHECK(lort_plain_name(plain, strlen(plain), NULL) == LORT_OK);
    }
    lort_plain_name_make(text, 0, plain);
    CHECK(lort_plain_name(text, strlen(text), NULL) != LORT_OK || strcmp(text, plain) == 0);
}

static void check_escaped(const char *text, uint32_t bytes)
{
    for (size_t cap = 1; cap < 60; cap += cap < 9 ? 1 : 17) {
        char *out = malloc(cap);
        CHECK(out && lort_escape(out, cap, text, bytes) == out && memchr(out, 0, cap));
        CHECK(lort_utf8_valid(out, strlen(out)));
        for (const char *p = out; *p; p++)
            CHECK((uint8_t)*p >= 0x20 && *p != 0x7f);
        free(out);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    name names[NAMES_MOST];
    char *copies[NAMES_MOST];
    uint32_t count = 0;
    for (size_t at = 0; at <= size && count < NAMES_MOST; count++) {
        const uint8_t *end = at < size ? memchr(data + at, '\n', size - at) : NULL;
        const size_t n = (end ? (size_t)(end - data) : size) - at;
        copies[count] = (char *)exact_copy(data + at, n, 0);
        names[count] = (name){copies[count], (uint32_t)n};
        at += n + 1;
    }
    check_set(names, count);
    check_index(names, count);
    for (uint32_t i = 0; i < count; i++) {
        char *text = malloc(names[i].bytes + 1u);
        CHECK(text);
        memcpy(text, names[i].text, names[i].bytes);
        text[names[i].bytes] = '\0';
        check_plain(names[i].text, names[i].bytes);
        check_numbered(text);
        check_made_plain(text);
        check_escaped(names[i].text, names[i].bytes);
        free(text);
    }
    for (uint32_t i = 0; i < count; i++)
        free(copies[i]);
    return 0;
}
