/* cores: the kernel sets of OpenBLAS by name, and what each wants of an x86-64 processor. It calls
 * no BLAS. OpenBLAS names a kernel set by a processor, its "core".
 *
 * asked, everywhere: "portable", "native", or the name of a core, in upper or lower case. NULL
 * stands for "portable". */
#ifndef LORT_COMPRESS_MATH_CORES_H
#define LORT_COMPRESS_MATH_CORES_H

#include "formats/base/error.h"
#include <stdbool.h>

#define LORT_CORE_PORTABLE "Haswell" /* what "portable" means on x86-64 with AVX2 and FMA */

/* Cores can be chosen on this architecture. Elsewhere "portable" is what OpenBLAS has. */
#if defined(__x86_64__)
#define LORT_CORE_ARCHITECTURE 1
#else
#define LORT_CORE_ARCHITECTURE 0
#endif

/* What a processor and its system can run. */
enum {
    LORT_CORE_SSE3 = 1,
    LORT_CORE_SSSE3 = 2,
    LORT_CORE_SSE41 = 4,
    LORT_CORE_SSE42 = 8,
    LORT_CORE_AVX = 16,
    LORT_CORE_FMA4 = 32,
    LORT_CORE_AVX2 = 64,
    LORT_CORE_FMA = 128,
    LORT_CORE_AVX512 = 256, /* F, BW, CD, DQ and VL */
    LORT_CORE_BF16 = 512    /* AVX-512 BF16 */
};
/* Of this processor, whatever LORT_CPU says; 0 on other architectures. */
unsigned lort_core_features(void);

/* The value of OPENBLAS_CORETYPE that makes OpenBLAS take what was asked for on a processor with
 * these features; NULL: the variable must not be set. An unknown core, or one that the processor
 * cannot run, gives the value for "portable"; lort_core_check refuses it. It may run before any
 * library is initialised. */
const char *lort_core_type(const char *asked, unsigned features);

/* The name in the spelling of LoRT; a build for one core gives it in capitals. `core` itself if it
 * is unknown. */
const char *lort_core_name(const char *core);
/* Cores of a class have the same kernels, so they give the same bytes: "Haswell" for "Zen". */
const char *lort_core_class(const char *core);

/* Checks what was asked for before and after OpenBLAS is loaded.
 * found: what openblas_get_corename said. one_core: OpenBLAS was built for one core.
 * *as_native is true if "portable" had to take what OpenBLAS chose.
 * On failure: LORT_E_USAGE if the core is unknown, if the processor cannot run it, or if OpenBLAS
 * took another one. */
lort_code lort_core_check(const char *asked, unsigned features, const char *found, bool one_core,
                          bool *as_native, lort_error *err);

#endif
