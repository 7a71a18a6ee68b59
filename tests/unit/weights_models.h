/* weights_models: the models that the tests of lort_weights read. */
#ifndef LORT_TESTS_UNIT_WEIGHTS_MODELS_H
#define LORT_TESTS_UNIT_WEIGHTS_MODELS_H

#include "tests/unit/command_fixture.h"

enum { ROWS = 150, COLS = 72, SIZE = ROWS * COLS, WIDE = 9000 };

static float low_rank[SIZE], stack[3 * SIZE], *wide;

static inline int fill(void **state)
{
    wide = calloc((size_t)ROWS * WIDE, sizeof *wide);
    assert_non_null(wide);
    tiny_fill_rank(wide, ROWS, WIDE, 2, 9);
    tiny_fill_rank(low_rank, ROWS, COLS, 3, 1);
    tiny_fill_rank(stack, ROWS, COLS, 2, 5);
    tiny_fill_noise(stack + SIZE, SIZE, 6);
    stack[SIZE + 70] = NAN; /* makes this slice kept */
    tiny_fill_rank(stack + 2 * SIZE, ROWS, COLS, 1, 7);
    return 0;
}

static inline int empty(void **state)
{
    free(wide);
    return 0;
}

/* A model of tensors that a container keeps and of others. It has scalars, block types, a type
 * without a decoder, and tensors without elements. */
static const tiny_tensor tensors[] = {
    {"w.f32", "F32", 2, {ROWS, COLS}, low_rank},
    {"w.f16", "F16", 2, {ROWS, COLS}, low_rank},
    {"experts", "F32", 3, {3, ROWS, COLS}, stack},
    {"norm", "F32", 1, {COLS}, NULL},
    {"ids", "I32", 2, {3, 5}, NULL},
    {"f8", "F8_E4M3", 2, {5, 7}, NULL},
    {"scalar", "BF16", 0, {0}, NULL},
    {"none", "F16", 3, {2, 0, 5}, NULL},
    {"noise", "F64", 3, {2, 3, 4}, NULL},
};
#define TENSORS (sizeof tensors / sizeof *tensors)

static const tiny_tensor quants[] = {{"q8", "Q8_0", 2, {5, 64}, NULL},
                                     {"q4k", "Q4_K", 3, {2, 3, 512}, NULL},
                                     {"iq", "IQ2_XS", 2, {2, 256}, NULL}};

static inline void write_models(void)
{
    tiny_safetensors(dir, "m", tensors, TENSORS);
    tiny_gguf(dir, "q.gguf", quants, 3, NULL);
    tiny_safetensors(dir, "wide", &(tiny_tensor){"wide", "F32", 2, {ROWS, WIDE}, wide}, 1);
}

#endif
