/* vectors: macros for functions that exist once for each kind of processor, and for how gcc takes a
 * loop. */
#ifndef LORT_FORMATS_TYPES_VECTORS_H
#define LORT_FORMATS_TYPES_VECTORS_H

/* The kinds of x86-64 processors that have versions of their own (levels of the x86-64 psABI), and
 * every processor. */
typedef enum lort_processor {
    LORT_PROCESSOR_ANY = 2,    /* x86-64-v2 or less, and other architectures */
    LORT_PROCESSOR_AVX2 = 3,   /* x86-64-v3: AVX2, FMA, BMI */
    LORT_PROCESSOR_AVX512 = 4, /* x86-64-v4: AVX-512 F, BW, CD, DQ and VL */
} lort_processor;

/* The kind of this processor. The variable LORT_CPU (v2, v3, v4) makes it a lesser one: for tests
 * and benchmarks. */
lort_processor lort_processor_kind(void);

/* Compiles a function once for each kind of processor:
 *
 *     LORT_VECTORS(add, (float *to, const float *from, uint64_t n), (to, from, n))
 *     {
 *         ... the body of `void add(float *to, const float *from, uint64_t n)`
 *     }
 *
 * A call runs the version that the processor has. LORT_VECTORS_GIVING is for a function that
 * returns something. `static` may stand in front. The macros are for loops that gain by it. They
 * may have f32 operations + - * /, comparisons, conversions, and integers. No operation is fused
 * (-ffp-contract=off), so all versions give equal results. A function that such a function inlines
 * must be LORT_INLINE. */
#define LORT_VECTORS(name, parameters, arguments)                                                  \
    LORT_FOR_LEVELS(void, name, parameters, arguments, )
#define LORT_VECTORS_GIVING(type, name, parameters, arguments)                                     \
    LORT_FOR_LEVELS(type, name, parameters, arguments, return )

#if defined(__x86_64__) && !defined(_WIN32)
#define LORT_FOR_LEVEL(level, type, name, parameters, arguments, give)                             \
    __attribute__((target("arch=x86-64-" #level))) static type name##_##level parameters           \
    {                                                                                              \
        give name##_body arguments;                                                                \
    }
#define LORT_FOR_LEVELS(type, name, parameters, arguments, give)                                   \
    type name parameters;                                                                          \
    LORT_INLINE type name##_body parameters;                                                       \
    LORT_FOR_LEVEL(v3, type, name, parameters, arguments, give)                                    \
    LORT_FOR_LEVEL(v4, type, name, parameters, arguments, give)                                    \
    type name parameters                                                                           \
    {                                                                                              \
        const lort_processor kind = lort_processor_kind();                                         \
        if (kind == LORT_PROCESSOR_AVX512) {                                                       \
            give name##_v4 arguments;                                                              \
        } else if (kind == LORT_PROCESSOR_AVX2) {                                                  \
            give name##_v3 arguments;                                                              \
        } else {                                                                                   \
            give name##_body arguments;                                                            \
        }                                                                                          \
    }                                                                                              \
    LORT_INLINE type name##_body parameters
#else
#define LORT_FOR_LEVELS(type, name, parameters, arguments, give) type name parameters
#endif
#define LORT_INLINE static inline __attribute__((always_inline))
/* Makes the compiler compute an integer here, whether or not it is used. */
#define LORT_KEEP(x) __asm__("" : "+r"(x))
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
