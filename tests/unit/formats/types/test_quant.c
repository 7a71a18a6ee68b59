/* Compares the block decoders with ggml: committed blocks, and a real matrix in many types. If
 * LORT_GGML_LIB names ggml's libggml-base.so, it adds thousands of random blocks with hard
 * scales. */
#define _POSIX_C_SOURCE 200809L /* popen, mkdtemp */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "formats/inputs/format.h"
#include "formats/inputs/header.h"
#include "formats/types/dtype.h"
#include "formats/types/quant.h"
#include "tests/unit/main.h"
#include <dlfcn.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCKS "tests/golden/blocks.tsv"
#define MODEL "../shared/models/gpt2-quant-golden/gpt2-h0-q-ALLTYPES.gguf"
#define DIGESTS "../shared/models/gpt2-quant-golden/DEQUANT.tsv"

enum { MAX_ELEMENTS = 256, MAX_BYTES = 292 };

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* The bits of a float, with one pattern for all NaNs. */
static uint32_t canonical(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return (bits & 0x7fffffffu) > 0x7f800000u ? 0x7fc00000u : bits;
}

static uint64_t fnv1a(const float *values, uint64_t n)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (uint64_t i = 0; i < n; i++)
        for (uint32_t b = 0; b < 4; b++)
            hash = (hash ^ (canonical(values[i]) >> 8 * b & 255)) * 0x100000001b3u;
    return hash;
}

static void blocks_decode_as_ggml_decodes_them(void **state)
{
    FILE *file = fopen(BLOCKS, "r");
    assert_non_null(file);
    char line[1024], name[16], hex[2 * MAX_BYTES + 1];
    unsigned long long hash;
    unsigned first, rows = 0, seen[256] = {0}, types = 0;
    uint8_t bytes[MAX_BYTES + 1];
    while (fgets(line, sizeof line, file)) {
        if (line[0] == '#')
            continue;
        assert_int_equal(sscanf(line, "%15s %584s %llx %x", name, hex, &hash, &first), 4);
        const lort_dtype_info *type = lort_dtype_by_name(name, strlen(name));
        assert_true(type && type->decode && strlen(hex) == 2 * type->block_bytes);
        for (uint32_t i = 0; i < type->block_bytes; i++) {
            unsigned byte;
            assert_int_equal(sscanf(hex + 2 * i, "%2x", &byte), 1);
            bytes[1 + i] = (uint8_t)byte;
        }
        float values[MAX_ELEMENTS + 1];
        values[type->block_elements] = 123;
        type->decode(bytes + 1, values, type->block_elements);
        if (canonical(values[0]) != first || fnv1a(values, type->block_elements) != hash)
            fail_msg("%s, block %s: decoded wrongly, first value %g", name, hex, (double)values[0]);
        assert_true(values[type->block_elements] == 123);
        types += seen[type->id]++ == 0;
        rows++;
    }
    fclose(file);
    assert_int_equal(types, 18);
    assert_int_equal(rows, 18 * 22);
}

/* A few values by hand, with d = 0.5, so that a reader can follow the picture above a decoder. */
static void q4_0_by_hand(void **state)
{
    static const uint8_t blocks[2 * 18] = {0x00, 0x38, 0x80, 0x1f, [18] = 0x00, 0x38, [35] = 0x9c};
    float y[64];
    lort_dtype_get(LORT_Q4_0)->decode(blocks, y, 64);
    assert_true(y[0] == -4.0f && y[16] == 0.0f); /* 0x80: low nibble 0, high nibble 8 */
    assert_true(y[1] == 3.5f && y[17] == -3.5f);
    assert_true(y[2] == -4.0f && y[47] == 2.0f && y[63] == 0.5f);
}

/* ---- encoding of Q8_0 ---- */

static float largest(const float *x, int n)
{
    float most = 0;
    for (int i = 0; i < n; i++)
        most = fabsf(x[i]) > most ? fabsf(x[i]) : most;
    return most;
}

/* Encodes numbers in [-1, 1) times 2^exponent, four blocks at an odd address. The error is at most
 * half a step. A step is 1/127 of the largest magnitude, apart from the rounding of F16. */
static void q8_0_is_near(void **state)
{
    enum { N = 128 };
    uint64_t random = 88172645463325252u;
    for (int exponent = -60; exponent <= 23; exponent++) {
        float x[N], y[N];
        uint8_t stored[N / 32 * 34 + 2];
        stored[0] = stored[sizeof stored - 1] = 0xa5;
        for (int i = 0; i < N; i++)
            x[i] = ldexpf((float)((double)(int64_t)next_random(&random) * 0x1p-63), exponent);
        lort_store_q8_0(x, stored + 1, N);
        lort_decode_q8_0(stored + 1, y, N);
        assert_true(stored[0] == 0xa5 && stored[sizeof stored - 1] == 0xa5);
        for (int b = 0; b < N; b += 32) {
            const float step = largest(x + b, 32) / 127 * 1.0005f + 0x1p-24f;
            for (int i = b; i < b + 32; i++)
                if (!(fabsf(x[i] - y[i]) <= 0.5001f * step))
                    fail_msg("exponent %d: %g became %g", exponent, (double)x[i], (double)y[i]);
        }
    }
}

/* Multiples of a step that F16 can store come back exactly. */
static void q8_0_by_hand(void **state)
{
    float x[32] =
        {[0] = -31.75f, [1] = 0.25f, [2] = 0.5f, [3] = 0.375f, [4] = 0.125f, [31] = 31.75f},
          y[32];
    /* Ties go to even. */
    static const uint8_t start[7] = {0x00, 0x34, 0x81, 0x01, 0x02, 0x02, 0x00};
    uint8_t stored[34];
    lort_store_q8_0(x, stored, 32);
    assert_memory_equal(stored, start, sizeof start);
    assert_int_equal(stored[33], 127);
    lort_decode_q8_0(stored, y, 32);
    assert_true(y[0] == x[0] && y[1] == x[1] && y[2] == x[2] && y[31] == x[31] && y[5] == 0);
}

static void q8_0_of_hard_blocks(void **state)
{
    static const struct {
        float value, other;
        double error; /* largest error of value; below 0: the result must only be a number */
    } cases[] = {
        {0, 0, 0},
        {-0.0f, 0, 0},
        {0x1p-149f, 0, 0x1p-149},
        {0x1p-25f, 0, 0x1p-25},
        {0x1p-24f, 0, 0},
        {1e-30f, 1e-31f, 1.1e-30},
        {65504.0f * 127, 1, 0},
        {8.35e6f, -1, 65504 / 2.0},
        {1e30f, 1, -1},
        {FLT_MAX, -FLT_MAX, -1},
        {INFINITY, 1, -1},
        {-INFINITY, INFINITY, -1},
        {NAN, 1, -1},
        {1, NAN, 0.004},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        float x[32], y[32];
        uint8_t stored[34];
        for (int k = 0; k < 32; k++)
            x[k] = k % 2 ? cases[i].value : cases[i].other;
        lort_store_q8_0(x, stored, 32);
        lort_decode_q8_0(stored, y, 32);
        for (int k = 0; k < 32; k++)
            assert_true(isfinite(y[k]));
        if (cases[i].error >= 0 && !(fabs((double)y[1] - (double)cases[i].value) <= cases[i].error))
            fail_msg("%g became %g", (double)cases[i].value, (double)y[1]);
        for (int k = 0; k < 34 && cases[i].value == 0 && cases[i].other == 0; k++)
            assert_int_equal(stored[k], 0);
    }
}

/* Decodes many blocks (or elements, for types without blocks) at any address. The result equals
 * that of single blocks, and no byte behind the last is read or written. */
static void check_runs(const lort_dtype_info *type, const uint8_t *stored, uint64_t most)
{
    const uint64_t elements = type->block_elements, bytes = type->block_bytes;
    float *all = malloc((most * elements + 1) * sizeof *all),
          *each = malloc(most * elements * sizeof *each);
    /* A copy for each run, so that ASan sees a read past its end. */
    uint8_t *copy = malloc(most * bytes);
    assert_true(all && each && copy);
    for (uint64_t b = 0; b < most; b++)
        type->decode(stored + b * bytes, each + b * elements, elements);
    for (uint64_t n = 1; n <= most; n++) {
        uint8_t *end = copy + (most - n) * bytes;
        memcpy(end, stored, n * bytes);
        all[n * elements] = 123;
        type->decode(end, all, n * elements);
        for (uint64_t i = 0; i < n * elements; i++)
            if (canonical(all[i]) != canonical(each[i]))
                fail_msg("%s: element %u of %u: %a, alone %a", type->name, (unsigned)i,
                         (unsigned)(n * elements), (double)all[i], (double)each[i]);
        assert_true(all[n * elements] == 123);
    }
    free(all);
    free(each);
    free(copy);
}

static void runs_are_made_of_blocks(void **state)
{
    enum { MOST = 300 }; /* elements of 1 to 8 bytes; or 5 blocks */
    uint8_t stored[8 * MOST + 3];
    uint64_t random = 88172645463325252u;
    for (size_t i = 0; i < sizeof stored; i++)
        stored[i] = (uint8_t)(next_random(&random) >> 40);
    uint32_t types = 0;
    for (uint32_t t = 0; lort_dtype_at(t); t++) {
        const lort_dtype_info *type = lort_dtype_at(t);
        for (uint32_t offset = 0; type->decode && offset < 4; offset++)
            check_runs(type, stored + offset, type->block_elements > 1 ? 5 : MOST);
        types += type->decode != NULL;
    }
    assert_int_equal(types, 27);
}

/* The whole file, or NULL if it does not exist. */
static uint8_t *slurp(const char *path, uint64_t *size)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return NULL;
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    *size = (uint64_t)ftell(file);
    rewind(file);
    uint8_t *data = malloc(*size);
    assert_non_null(data);
    assert_int_equal(fread(data, 1, *size, file), *size);
    fclose(file);
    return data;
}

static void sha256(const void *bytes, uint64_t n, char hex[65])
{
    char folder[] = "/tmp/lort-quant-XXXXXX", path[64], command[128];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/data", folder);
    FILE *file = fopen(path, "wb");
    assert_true(file && fwrite(bytes, 1, n, file) == n && fclose(file) == 0);
    snprintf(command, sizeof command, "sha256sum %s", path);
    FILE *pipe = popen(command, "r");
    assert_true(pipe && fread(hex, 1, 64, pipe) == 64);
    hex[64] = 0;
    pclose(pipe);
    assert_int_equal(remove(path), 0);
    assert_int_equal(remove(folder), 0);
}

/* The decoded tensor whose type has this name, or NULL if LoRT cannot decode it. */
static float *decode_type(const lort_header *header, const uint8_t *data, const char *name,
                          uint64_t *count)
{
    for (uint64_t i = 0; i < header->index.count; i++) {
        const lort_tensor *tensor = &header->index.tensors[i];
        if (strcmp(tensor->type->name, name) || !tensor->type->decode)
            continue;
        float *values = malloc(tensor->elements * sizeof *values);
        assert_non_null(values);
        tensor->type->decode(data + tensor->offset, values, tensor->elements);
        *count = tensor->elements;
        return values;
    }
    return NULL;
}

static void real_matrix_has_ggmls_digests(void **state)
{
    uint64_t size = 0, wanted, count, checked = 0;
    uint8_t *data = slurp(MODEL, &size);
    FILE *digests = fopen(DIGESTS, "r");
    if (!data || !digests) {
        print_message("skipped: %s is not there\n", MODEL);
        free(data);
        if (digests)
            fclose(digests);
        skip();
    }
    lort_header header;
    lort_error err;
    if (lort_format_gguf.parse(data, size, size, &lort_alloc_heap, &header, &wanted, &err))
        fail_msg("%s", err.message);
    char line[512], name[16], want[65], got[65];
    while (fgets(line, sizeof line, digests)) {
        if (line[0] == '#')
            continue;
        assert_int_equal(sscanf(line, "%15s %64s", name, want), 2);
        float *values = decode_type(&header, data, name, &count);
        if (!values)
            continue;
        sha256(values, count * sizeof *values, got);
        if (strcmp(want, got))
            fail_msg("%s: SHA-256 %s, ggml's is %s", name, got, want);
        free(values);
        checked++;
    }
    fclose(digests);
    lort_header_free(&header);
    free(data);
    print_message("%u types checked\n", (unsigned)checked);
    assert_int_equal(checked, 15);
}

/* As in ggml.h. */
typedef struct ggml_traits {
    const char *name;
    int64_t elements, interleave;
    size_t bytes;
    _Bool quantized;
    void (*to_float)(const void *, float *, int64_t);
} ggml_traits;

/* The places of the scales of a block: at most two f16, or at most four bytes (MXFP4 and NVFP4). */
static const struct {
    lort_dtype id;
    uint32_t halves, bytes, at[4];
} scales[] = {
    {LORT_Q4_0, 1, 0, {0}},           {LORT_Q4_1, 2, 0, {0, 2}}, {LORT_Q5_0, 1, 0, {0}},
    {LORT_Q5_1, 2, 0, {0, 2}},        {LORT_Q8_0, 1, 0, {0}},    {LORT_Q2_K, 2, 0, {80, 82}},
    {LORT_Q3_K, 1, 0, {108}},         {LORT_Q4_K, 2, 0, {0, 2}}, {LORT_Q5_K, 2, 0, {0, 2}},
    {LORT_Q6_K, 1, 0, {208}},         {LORT_IQ4_NL, 1, 0, {0}},  {LORT_IQ4_XS, 1, 0, {0}},
    {LORT_TQ1_0, 1, 0, {52}},         {LORT_TQ2_0, 1, 0, {64}},  {LORT_MXFP4, 0, 1, {0}},
    {LORT_NVFP4, 0, 4, {0, 1, 2, 3}}, {LORT_Q1_0, 1, 0, {0}},    {LORT_Q2_0, 1, 0, {0}},
};

static void make_hard(uint8_t *block, uint32_t row, uint64_t *random)
{
    static const uint16_t halves[] = {0x0000, 0x8000, 0x0001, 0x83ff, 0x0200,
                                      0x0400, 0x7bff, 0x7c00, 0xfc00, 0x7e00};
    static const uint8_t bytes[] = {0x00, 0x01, 0x02, 0x07, 0x08, 0x7e, 0x7f, 0x80, 0xfe, 0xff};
    for (uint32_t i = 0; i < scales[row].halves; i++) {
        const uint16_t half = halves[next_random(random) % 10];
        block[scales[row].at[i]] = (uint8_t)half;
        block[scales[row].at[i] + 1] = (uint8_t)(half >> 8);
    }
    for (uint32_t i = 0; i < scales[row].bytes; i++)
        block[scales[row].at[i]] = bytes[next_random(random) % 10];
}

static void compare_with_library(const lort_dtype_info *type, uint32_t row,
                                 const ggml_traits *traits, uint64_t *random)
{
    uint8_t block[MAX_BYTES];
    float ours[MAX_ELEMENTS], theirs[MAX_ELEMENTS];
    for (uint32_t n = 0; n < 20000; n++) {
        for (uint32_t i = 0; i < type->block_bytes; i++)
            block[i] = (uint8_t)(next_random(random) >> 40);
        if (n % 4 == 0)
            make_hard(block, row, random);
        type->decode(block, ours, type->block_elements);
        traits->to_float(block, theirs, type->block_elements);
        for (uint32_t i = 0; i < type->block_elements; i++)
            if (canonical(ours[i]) != canonical(theirs[i]))
                fail_msg("%s: block %u, element %u: %a, ggml says %a", type->name, n, i,
                         (double)ours[i], (double)theirs[i]);
    }
}

static void random_blocks_agree_with_the_library(void **state)
{
    const char *path = getenv("LORT_GGML_LIB");
    if (!path) {
        print_message("skipped: LORT_GGML_LIB does not name a libggml-base.so\n");
        skip();
    }
    void *library = dlopen(path, RTLD_NOW);
    if (!library)
        fail_msg("%s", dlerror());
    const ggml_traits *(*get_traits)(int);
    *(void **)&get_traits = dlsym(library, "ggml_get_type_traits");
    assert_non_null(get_traits);
    uint64_t random = 20240607;
    for (uint32_t row = 0; row < sizeof scales / sizeof scales[0]; row++) {
        const lort_dtype_info *type = lort_dtype_get(scales[row].id);
        const ggml_traits *traits = get_traits((int)type->id);
        assert_int_equal(traits->bytes, type->block_bytes);
        assert_int_equal(traits->elements, type->block_elements);
        compare_with_library(type, row, traits, &random);
    }
    print_message("%u types, 20000 blocks each\n", (unsigned)(sizeof scales / sizeof scales[0]));
    dlclose(library);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_decode_as_ggml_decodes_them),
        cmocka_unit_test(q4_0_by_hand),
        cmocka_unit_test(q8_0_is_near),
        cmocka_unit_test(q8_0_by_hand),
        cmocka_unit_test(q8_0_of_hard_blocks),
        cmocka_unit_test(runs_are_made_of_blocks),
        cmocka_unit_test(real_matrix_has_ggmls_digests),
        cmocka_unit_test(random_blocks_agree_with_the_library),
    };
    return run_chosen(tests, NULL, NULL);
}
