/* vectors: see vectors.h. */
#include "formats/types/vectors.h"
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
static lort_processor find_kind(void)
{
    static const char *const names[] = {"v2", "v3", "v4"};
    lort_processor kind = __builtin_cpu_supports("x86-64-v4")   ? LORT_PROCESSOR_AVX512
                          : __builtin_cpu_supports("x86-64-v3") ? LORT_PROCESSOR_AVX2
                                                                : LORT_PROCESSOR_ANY;
    const char *asked = getenv("LORT_CPU");
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
    kind = find_kind();
}

lort_processor lort_processor_kind(void) { return kind; }
#else
lort_processor lort_processor_kind(void) { return LORT_PROCESSOR_ANY; }
#endif
