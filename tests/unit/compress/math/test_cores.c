/* Tests of the table of cores, with processors that this machine is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "compress/math/cores.h"
#include "tests/unit/main.h"

#include <string.h>

#define TO_NEHALEM (LORT_CORE_SSE3 | LORT_CORE_SSSE3 | LORT_CORE_SSE41 | LORT_CORE_SSE42)
#define TO_SANDY (TO_NEHALEM | LORT_CORE_AVX)
#define TO_HASWELL (TO_SANDY | LORT_CORE_AVX2 | LORT_CORE_FMA)
#define TO_SKYLAKE (TO_HASWELL | LORT_CORE_AVX512)
#define ALL (TO_SKYLAKE | LORT_CORE_BF16 | LORT_CORE_FMA4)

static void values_of_the_variable(void **state)
{
    static const struct {
        const char *asked;
        unsigned features;
        const char *value; /* NULL: not set */
    } rows[] = {{NULL, ALL, "Haswell"},
                {NULL, TO_HASWELL, "Haswell"},
                {NULL, TO_HASWELL & ~LORT_CORE_FMA, NULL},
                {NULL, TO_SANDY, NULL},
                {NULL, 0, NULL},
                {"portable", TO_SKYLAKE, "Haswell"},
                {"native", TO_SKYLAKE, NULL},
                {"NATIVE", TO_SKYLAKE, NULL},
                {"zen", TO_HASWELL, "Zen"},
                {"SKYLAKEX", TO_SKYLAKE, "SkylakeX"},
                {"SkylakeX", TO_HASWELL, "Haswell"},
                {"Cooperlake", TO_SKYLAKE, "Haswell"},
                {"SkylakeX", TO_SANDY, NULL},
                {"Haswell", TO_SANDY, NULL},
                {"Sandybridge", TO_SANDY, "Sandybridge"},
                {"Bulldozer", TO_SKYLAKE, "Haswell"},
                {"no such core", TO_SKYLAKE, "Haswell"},
                {"", TO_SKYLAKE, "Haswell"}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *value = lort_core_type(rows[i].asked, rows[i].features);
        if (rows[i].value)
            assert_string_equal(value ? value : "", rows[i].value);
        else
            assert_null(value);
    }
}

static void checks(void **state)
{
    static const struct {
        const char *asked;
        unsigned features;
        const char *found;
        bool one_core, as_native;
        const char *message; /* NULL: it is right */
    } rows[] = {
        {"portable", TO_SKYLAKE, "Haswell", false, false, NULL},
        {"portable", TO_HASWELL, "Zen", false, false, NULL},
        {"portable", TO_HASWELL, "HASWELL", true, false, NULL},
        {"portable", TO_SKYLAKE, "SkylakeX", false, false, "OpenBLAS took the core SkylakeX"},
        {"portable", TO_SKYLAKE, "SKYLAKEX", true, false, "built for the core SkylakeX alone"},
        {"portable", TO_SANDY, "Sandybridge", false, true, NULL},
        {"portable", 0, "neoversen1", false, true, NULL},
        {"native", TO_SKYLAKE, "Cooperlake", false, false, NULL},
        {"native", TO_SANDY, "Sandybridge", false, false, NULL},
        {"Zen", TO_HASWELL, "Zen", false, false, NULL},
        {"Zen", TO_HASWELL, "Haswell", false, false, "--blas-core Zen: OpenBLAS took"},
        {"Zen", TO_HASWELL, "HASWELL", true, false, "--blas-core Zen: this OpenBLAS was built"},
        {"haswell", TO_HASWELL, "HASWELL", true, false, NULL},
        {"SkylakeX", TO_HASWELL, "Haswell", false, false,
         "SkylakeX: this processor lacks AVX-512;"},
        {"Cooperlake", TO_SKYLAKE, "SkylakeX", false, false, "lacks AVX-512 BF16;"},
        {"Haswell", TO_SANDY, "Sandybridge", false, false, "lacks AVX2;"},
        {"Haswell", TO_HASWELL & ~LORT_CORE_FMA, "Haswell", false, false, "lacks FMA;"},
        {"Sandybridge", TO_NEHALEM, "Nehalem", false, false, "lacks AVX;"},
        {"Bulldozer", TO_SKYLAKE, "Haswell", false, false, "lacks FMA4;"},
        {"Prescott", 0, "neoversen1", false, false, "lacks SSE3;"},
        {"Itanium\n", ALL, "Haswell", false, false,
         "unknown core 'Itanium\\x0A'; known are portable"}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        lort_error err = {0};
        bool as_native = !rows[i].as_native;
        lort_code code = lort_core_check(rows[i].asked, rows[i].features, rows[i].found,
                                         rows[i].one_core, &as_native, &err);
        if (code != (rows[i].message ? LORT_E_USAGE : LORT_OK) ||
            (rows[i].message && !strstr(err.message, rows[i].message)))
            fail_msg("row %zu: code %d, %s", i, code, err.message);
        if (code == LORT_OK)
            assert_true(as_native == rows[i].as_native);
    }
}

static void names_and_classes(void **state)
{
    (void)state;
    assert_string_equal(lort_core_name("SKYLAKEX"), "SkylakeX");
    assert_string_equal(lort_core_name("Zen"), "Zen");
    assert_string_equal(lort_core_name("neoversen1"), "neoversen1");
    assert_string_equal(lort_core_class("ZEN"), "Haswell");
    assert_string_equal(lort_core_class("Haswell"), "Haswell");
    assert_string_equal(lort_core_class("Cooperlake"), "Cooperlake");
    assert_string_equal(lort_core_class(""), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(values_of_the_variable),
                                       cmocka_unit_test(checks),
                                       cmocka_unit_test(names_and_classes)};

    return run_chosen(tests, NULL, NULL);
}
