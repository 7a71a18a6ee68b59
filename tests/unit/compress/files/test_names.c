/* names: two names of a model that a file system takes for one. The systems' own comparison, and
 * one that tells no case, on any system. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "compress/files/names.h"
#include "loader/os/os.h"
#include "tests/unit/main.h"
#include <ctype.h>
#include <string.h>

static int without_case(const char *a, uint64_t a_bytes, const char *b, uint64_t b_bytes)
{
    for (uint64_t i = 0; i < a_bytes && i < b_bytes; i++) {
        const int order = tolower((unsigned char)a[i]) - tolower((unsigned char)b[i]);
        if (order)
            return order;
    }
    return (a_bytes > b_bytes) - (a_bytes < b_bytes);
}

#define PATHS 6
static const struct {
    const char *paths[PATHS];
    const char *first, *second; /* NULL: no two are one; else both stand in the message */
} models[] = {
    {{"config.json", "model.safetensors", "tokenizer.json"}, NULL, NULL},
    {{"a"}, NULL, NULL},
    {{"README.md", "b", "readme.md"}, "README.md", "readme.md"},
    {{"x.gguf", "a", "b", "c", "d", "X.gguf"}, "x.gguf", "X.gguf"},
    {{"unet/w", "vae/w", "unet/W"}, "unet/w", "unet/W"},
    {{"unet/a", "vae/b", "Unet/c"}, "unet/a", "Unet/c"},
    {{"a/x", "A/y", "a/z", "b"}, "A/y", NULL},
    {{"a/b/c", "a/B/d"}, "a/b/c", "a/B/d"},
    {{"a", "A/b"}, "'a'", "A/b"},
    {{"a/b", "a-b", "a.b", "A-b"}, "a-b", "A-b"},
    {{"ab", "a/b", "a"}, NULL, NULL},
};

static uint32_t fill(size_t model, lort_input_file files[PATHS])
{
    uint32_t n = 0;
    for (; n < PATHS && models[model].paths[n]; n++)
        files[n] = (lort_input_file){.name = models[model].paths[n]};
    return n;
}

static void names_that_are_one_are_found(void **state)
{
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        lort_input_file files[PATHS];
        lort_error err = {0};
        const uint32_t n = fill(i, files);
        const lort_code code = lort_names_check(files, n, without_case, &lort_alloc_heap, &err),
                        wanted = models[i].first ? LORT_E_WRITE : LORT_OK;
        if (code != wanted || (models[i].first && !strstr(err.message, models[i].first)) ||
            (models[i].second && !strstr(err.message, models[i].second)))
            fail_msg("model %d: %d %s", (int)i, (int)code, err.message);
    }
}

static void this_system_decides(void **state)
{
#if defined(_WIN32)
    const lort_code of_case = LORT_E_WRITE;
#else
    const lort_code of_case = LORT_OK;
#endif
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        lort_input_file files[PATHS];
        const uint32_t n = fill(i, files);
        assert_int_equal(lort_names_check(files, n, lort_os_compare_names, &lort_alloc_heap, NULL),
                         models[i].first ? of_case : LORT_OK);
    }
}

static void letters_of_all_alphabets(void **state)
{
    static const struct {
        const char *a, *b;
        bool alike; /* but for the case */
    } cases[] = {{"a", "A", true},
                 {"\xc3\xa9t\xc3\xa9", "\xc3\x89T\xc3\x89", true},
                 {"\xd0\xbc\xd0\xbe\xd0\xb4", "\xd0\x9c\xd0\x9e\xd0\x94", true},
                 {"stra\xc3\x9f"
                  "e",
                  "STRASSE", false},
                 {"e\xcc\x81", "\xc3\xa9", false},
                 {"a", "ab", false},
                 {"A", "ab", false},
                 {"\xf0\x9f\x98\x80", "\xf0\x9f\x98\x81", false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *a = cases[i].a, *b = cases[i].b;
        const int order = lort_os_compare_names(a, strlen(a), b, strlen(b)),
                  back = lort_os_compare_names(b, strlen(b), a, strlen(a));
#if defined(_WIN32)
        assert_int_equal(order == 0, cases[i].alike);
#else
        assert_true(order != 0);
#endif
        assert_true((order > 0) == (back < 0) && (order < 0) == (back > 0));
        assert_int_equal(lort_os_compare_names(a, strlen(a), a, strlen(a)), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_that_are_one_are_found),
        cmocka_unit_test(this_system_decides),
        cmocka_unit_test(letters_of_all_alphabets),
    };
    return run_chosen(tests, NULL, NULL);
}
