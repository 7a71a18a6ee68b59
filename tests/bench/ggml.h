/* ggml: llama.cpp's own library of block types, as a peer and as a judge. Include bench.h first. */
#ifndef LORT_TESTS_BENCH_GGML_H
#define LORT_TESTS_BENCH_GGML_H

#include "tests/bench/bench.h"
#include <dlfcn.h>

typedef struct ggml_traits { /* as in ggml.h */
    const char *name;
    int64_t block, interleave;
    size_t size;
    bool quantised;
    void (*to_float)(const void *, float *, int64_t);
    void *from_float;
} ggml_traits;

typedef struct ggml_library {
    size_t (*quantise)(int type, const float *src, void *dst, int64_t start, int64_t rows,
                       int64_t cols, const float *importance);
    const ggml_traits *(*traits)(int type);
    bool (*validate)(int type, const void *data, size_t bytes);
} ggml_library;

static inline void ggml_symbol(void *library, const char *name, void *to)
{
    void *at = dlsym(library, name);
    bench_need(at != NULL, name);
    memcpy(to, &at, sizeof at); /* ISO C has no cast from void * to a function */
}

/* Opens the libggml-base.so at `path`. Returns false if there is none; dlerror() says why. */
static inline bool ggml_open(ggml_library *ggml, const char *path)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return false;
    ggml_symbol(library, "ggml_quantize_chunk", &ggml->quantise);
    ggml_symbol(library, "ggml_get_type_traits", &ggml->traits);
    ggml_symbol(library, "ggml_validate_row_data", &ggml->validate);
    return true;
}

#endif
