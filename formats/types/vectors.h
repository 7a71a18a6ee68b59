/* vectors: functions that exist once for each kind of processor, and loops as the compiler shall
 * take them. */
#ifndef LORT_FORMATS_TYPES_VECTORS_H
#define LORT_FORMATS_TYPES_VECTORS_H

/* Compiled for x86-64, AVX2 and AVX-512; the dynamic loader takes the one that the processor has.
 * For loops that gain by it, of + - * /, comparisons and conversions of f32 (none fused:
 * -ffp-contract=off) and integers, so that all give the same. What such a function inlines must be
 * LORT_INLINE. */
#if defined(__x86_64__) && defined(__linux__) && !defined(__clang__) &&                            \
    !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
#define LORT_VECTORS __attribute__((target_clones("default", "avx2", "arch=x86-64-v4")))
#else
#define LORT_VECTORS
#endif
#define LORT_INLINE static inline __attribute__((always_inline))
#define LORT_UNROLL _Pragma("GCC unroll 32")
/* before a loop of fixed length that gcc -O3 would unroll before it looks for vectors, and then
 * find few */
#define LORT_ROLLED _Pragma("GCC unroll 1")

#endif
