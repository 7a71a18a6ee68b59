/* vectors: macros for functions that exist once for each kind of processor, and for how gcc takes a
 * loop. */
#ifndef LORT_FORMATS_TYPES_VECTORS_H
#define LORT_FORMATS_TYPES_VECTORS_H

/* Compiles a function for x86-64, AVX2 and AVX-512. The dynamic loader takes the version that the
 * processor has. It is for loops that gain by it. They may have f32 operations + - * /,
 * comparisons, conversions, and integers. No operation is fused (-ffp-contract=off), so all
 * versions give equal results. A function that such a function inlines must be LORT_INLINE. */
#if defined(__x86_64__) && defined(__linux__) && !defined(__clang__) &&                            \
    !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
#define LORT_VECTORS __attribute__((target_clones("default", "avx2", "arch=x86-64-v4")))
#else
#define LORT_VECTORS
#endif
#define LORT_INLINE static inline __attribute__((always_inline))
/* Before a loop of at most 32 turns that the compiler shall unroll. clang knows no GCC unroll. */
#if defined(__clang__)
#define LORT_UNROLL _Pragma("clang loop unroll(full)")
#else
#define LORT_UNROLL _Pragma("GCC unroll 32")
#endif
/* Before a loop of fixed length. gcc -O3 would unroll the loop before it looks for vectors, and
 * would then find few. */
#define LORT_ROLLED _Pragma("GCC unroll 1")

#endif
