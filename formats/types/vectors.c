/* vectors: see vectors.h. */
#include "formats/types/vectors.h"
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
/* clang 14 has no names for the levels. No processor has these features without the others. */
#define HAS(feature) __builtin_cpu_supports(feature)
static lort_processor find_kind(void)
{
    if (!(HAS("avx2") && HAS("fma") && HAS("bmi") && HAS("bmi2")))
        return LORT_PROCESSOR_ANY;
    return HAS("avx512f") && HAS("avx512bw") && HAS("avx512cd") && HAS("avx512dq") &&
                   HAS("avx512vl")
               ? LORT_PROCESSOR_AVX512
               : LORT_PROCESSOR_AVX2;
}

static lort_processor lessen(lort_processor kind, const char *asked)
{
    static const char *const names[] = {"v2", "v3", "v4"};
    for (int i = 0; asked && i < 3; i++)
        if (strcmp(asked, names[i]) == 0 && (int)kind > i + LORT_PROCESSOR_ANY)
            kind = (lort_processor)(i + LORT_PROCESSOR_ANY);
    return kind;
}

static lort_processor kind = LORT_PROCESSOR_ANY;

/* Before any thread. A function that runs earlier takes its version for every processor. */
__attribute__((constructor)) static void set_kind(void)
{
    __builtin_cpu_init();
    kind = lessen(find_kind(), getenv("LORT_CPU"));
}

lort_processor lort_processor_kind(void) { return kind; }
#else
lort_processor lort_processor_kind(void) { return LORT_PROCESSOR_ANY; }
#endif
