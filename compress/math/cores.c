/* cores: see cores.h. Features of cores are those that OpenBLAS compiles their kernels for
 * (Makefile.x86_64 and dynamic.c of OpenBLAS 0.3.21). */
#include "compress/math/cores.h"
#include "formats/base/text.h"
#include <string.h>

/* lort calls these functions before a sanitizer is ready (cli/start_posix.c). */
#define EARLY __attribute__((no_sanitize("address", "thread", "undefined")))

#define TO_SSE42 (LORT_CORE_SSE3 | LORT_CORE_SSSE3 | LORT_CORE_SSE41 | LORT_CORE_SSE42)
#define TO_AVX (TO_SSE42 | LORT_CORE_AVX)
#define TO_AVX2 (TO_AVX | LORT_CORE_AVX2 | LORT_CORE_FMA)
#define TO_AVX512 (TO_AVX2 | LORT_CORE_AVX512)

/* Older cores of AMD are left out: what their kernels need is not known for sure. */
static const struct {
    const char *name, *of_class;
    unsigned needs;
} cores[] = {{"Prescott", "Prescott", LORT_CORE_SSE3},
             {"Core2", "Core2", LORT_CORE_SSE3 | LORT_CORE_SSSE3},
             {"Nehalem", "Nehalem", TO_SSE42},
             {"Sandybridge", "Sandybridge", TO_AVX},
             {"Haswell", "Haswell", TO_AVX2},
             {"Zen", "Haswell", TO_AVX2},
             {"SkylakeX", "SkylakeX", TO_AVX512},
             {"Cooperlake", "Cooperlake", TO_AVX512 | LORT_CORE_BF16},
             {"SapphireRapids", "SapphireRapids", TO_AVX512 | LORT_CORE_BF16},
             {"Bulldozer", "Bulldozer", TO_AVX | LORT_CORE_FMA4},
             {"Piledriver", "Piledriver", TO_AVX | LORT_CORE_FMA4 | LORT_CORE_FMA},
             {"Steamroller", "Steamroller", TO_AVX | LORT_CORE_FMA4 | LORT_CORE_FMA},
             {"Excavator", "Excavator", TO_AVX2 | LORT_CORE_FMA4}};
#define CORES (sizeof cores / sizeof *cores)

static const struct {
    unsigned feature;
    const char *name;
} features_by_name[] = {{LORT_CORE_SSE3, "SSE3"},      {LORT_CORE_SSSE3, "SSSE3"},
                        {LORT_CORE_SSE41, "SSE4.1"},   {LORT_CORE_SSE42, "SSE4.2"},
                        {LORT_CORE_AVX, "AVX"},        {LORT_CORE_FMA4, "FMA4"},
                        {LORT_CORE_AVX2, "AVX2"},      {LORT_CORE_FMA, "FMA"},
                        {LORT_CORE_AVX512, "AVX-512"}, {LORT_CORE_BF16, "AVX-512 BF16"}};
#define FEATURES (sizeof features_by_name / sizeof *features_by_name)

#if defined(__x86_64__)
#define IF(feature, bit) (__builtin_cpu_supports(feature) ? (bit) : 0u)
EARLY unsigned lort_core_features(void)
{
    __builtin_cpu_init();
    const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                        __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                        __builtin_cpu_supports("avx512vl");
    return IF("sse3", LORT_CORE_SSE3) | IF("ssse3", LORT_CORE_SSSE3) |
           IF("sse4.1", LORT_CORE_SSE41) | IF("sse4.2", LORT_CORE_SSE42) |
           IF("avx", LORT_CORE_AVX) | IF("fma4", LORT_CORE_FMA4) | IF("avx2", LORT_CORE_AVX2) |
           IF("fma", LORT_CORE_FMA) | (avx512 ? LORT_CORE_AVX512 : 0u) |
           IF("avx512bf16", LORT_CORE_BF16);
}
#else
unsigned lort_core_features(void) { return 0; }
#endif

/* strcasecmp needs a locale, and that may not be ready. */
EARLY static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c; }

EARLY static bool same(const char *a, const char *b)
{
    while (*a && lower(*a) == lower(*b)) {
        a++;
        b++;
    }
    return lower(*a) == lower(*b);
}

/* CORES: the name is unknown. */
EARLY static size_t find(const char *name)
{
    size_t i = 0;
    while (i < CORES && !same(cores[i].name, name))
        i++;
    return i;
}

/* Portable on this processor; NULL: nothing is. */
EARLY static const char *portable(unsigned features)
{
    return (TO_AVX2 & ~features) == 0 ? LORT_CORE_PORTABLE : NULL;
}

EARLY const char *lort_core_type(const char *asked, unsigned features)
{
    if (!asked)
        return portable(features);
    if (same(asked, "native"))
        return NULL;
    const size_t i = find(asked);
    return i < CORES && (cores[i].needs & ~features) == 0 ? cores[i].name : portable(features);
}

const char *lort_core_name(const char *core)
{
    const size_t i = find(core);
    return i < CORES ? cores[i].name : core;
}

const char *lort_core_class(const char *core)
{
    const size_t i = find(core);
    return i < CORES ? cores[i].of_class : core;
}

static lort_code refuse_unknown(const char *asked, lort_error *err)
{
    char shown[64], known[256] = "portable, native";
    for (size_t i = 0; i < CORES; i++)
        strcat(strcat(known, ", "), cores[i].name);
    return lort_fail(err, LORT_E_USAGE, "--blas-core: unknown core '%s'; known are %s",
                     lort_escape_text(shown, sizeof shown, asked), known);
}

static lort_code check_named(size_t i, unsigned features, lort_error *err)
{
    const unsigned lacks = cores[i].needs & ~features;
    for (size_t k = 0; k < FEATURES; k++)
        if (lacks & features_by_name[k].feature)
            return lort_fail(err, LORT_E_USAGE,
                             "--blas-core %s: this processor lacks %s; choose portable, native or "
                             "another core",
                             cores[i].name, features_by_name[k].name);
    return LORT_OK;
}

static lort_code refuse_other(const char *asked, const char *found, bool one_core, lort_error *err)
{
    return lort_fail(err, LORT_E_USAGE,
                     one_core ? "--blas-core %s: this OpenBLAS was built for the core %s alone; "
                                "choose native or a DYNAMIC_ARCH build"
                              : "--blas-core %s: OpenBLAS took the core %s; choose native, or a "
                                "core that this OpenBLAS has",
                     asked, lort_core_name(found));
}

lort_code lort_core_check(const char *asked, unsigned features, const char *found, bool one_core,
                          bool *as_native, lort_error *err)
{
    *as_native = false;
    if (!asked || same(asked, "portable")) {
        *as_native = portable(features) == NULL;
        return *as_native || same(lort_core_class(found), LORT_CORE_PORTABLE)
                   ? LORT_OK
                   : refuse_other("portable", found, one_core, err);
    }
    if (same(asked, "native"))
        return LORT_OK;
    const size_t i = find(asked);
    if (i == CORES)
        return refuse_unknown(asked, err);
    lort_code code = check_named(i, features, err);
    if (code == LORT_OK && !same(cores[i].name, found))
        code = refuse_other(cores[i].name, found, one_core, err);
    return code;
}
