/* Tests of the lists of folders: model_index.json and modules.json. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "formats/inputs/components.h"
#include "tests/unit/main.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void add(void *ctx, const char *path, bool bare)
{
    char *out = ctx;
    snprintf(out + strlen(out), 3000 - strlen(out), "%s%s;", path, bare ? "*" : "");
}

/* The text is an exact-size copy. */
static lort_code parse(lort_components_form form, const char *text, uint64_t n, char *out)
{
    char *copy = malloc(n ? n : 1);
    memcpy(copy, text, n);
    *out = 0;
    lort_code code = lort_components_parse(form, copy, n, add, out, NULL);
    free(copy);
    return code;
}

static void test_folders(void **state)
{
    static const struct {
        lort_components_form form;
        const char *text, *found;
    } cases[] = {
        {LORT_COMPONENTS_INDEX, "{}", ""},
        {LORT_COMPONENTS_INDEX, "{\"unet\":[\"a\",\"b\"],\"x\":[null,null],\"vae\":[\"a\",\"b\"]}",
         "unet;vae;"},
        {LORT_COMPONENTS_INDEX, "{\"a\":[\"b\"],\"c\":[\"d\",\"e\",\"f\"],\"g\":[\"h\",null]}", ""},
        {LORT_COMPONENTS_INDEX, "{\"a\":[\"b\",[\"c\"],\"d\"],\"e\":{\"f\":[\"g\",\"h\"]}}", ""},
        {LORT_COMPONENTS_INDEX, "{\"_a\":[\"b\",\"c\"],\"\":[\"d\",\"e\"],\"f\":true,\"g\":\"h\"}",
         ""},
        {LORT_COMPONENTS_INDEX, "{\"\\u0061\":[\"b\",\"c\"],\"d\\u0000e\":[\"f\",\"g\"]}", "a;"},
        {LORT_COMPONENTS_MODULES, "[]", ""},
        {LORT_COMPONENTS_MODULES, "[{\"path\":\"\"},{\"path\":\"a/b\",\"idx\":1},1,[{}],{}]",
         "a/b;"},
        {LORT_COMPONENTS_MODULES,
         "[{\"path\":\"n\",\"type\":\"s.Normalize\"},{\"type\":\"s.Normalizer\",\"path\":\"m\"}]",
         "n*;m;"},
        {LORT_COMPONENTS_MODULES, "[{\"path\":[\"a\"],\"path2\":\"b\",\"x\":{\"path\":\"c\"}}]",
         ""},
    };
    char out[3000];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(parse(cases[i].form, cases[i].text, strlen(cases[i].text), out), LORT_OK);
        assert_string_equal(out, cases[i].found);
    }
}

static void test_refused(void **state)
{
    static const char *const texts[] = {
        "", "1", "{", "[", "{\"a\"", "[{\"path\":", "{} {}", "[]]", "[{]}", "{\"a\":[}", "{\"a\"}"};
    char out[3000];
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        for (int form = 0; form <= LORT_COMPONENTS_MODULES; form++)
            assert_int_equal(parse((lort_components_form)form, texts[i], strlen(texts[i]), out),
                             LORT_E_INPUT);
    assert_int_equal(parse(LORT_COMPONENTS_INDEX, "[]", 2, out), LORT_E_INPUT);
    assert_int_equal(parse(LORT_COMPONENTS_MODULES, "{}", 2, out), LORT_E_INPUT);
}

/* A path of 1024 bytes is taken, and one of 1025 is none. */
static void test_long(void **state)
{
    char text[1200], out[3000];
    for (int n = 1024; n <= 1025; n++) {
        const int bytes = snprintf(text, sizeof text, "[{\"path\":\"%0*d\"}]", n, 0);
        assert_int_equal(parse(LORT_COMPONENTS_MODULES, text, (uint64_t)bytes, out), LORT_OK);
        assert_int_equal(strlen(out), n == 1024 ? 1025 : 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_folders),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_long),
    };
    return run_chosen(tests, NULL, NULL);
}
