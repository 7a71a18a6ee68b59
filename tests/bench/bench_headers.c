/* bench_headers: a GGUF with 100,000 tensors and a vocabulary of 131,072 tokens. It measures the
 * time to open it, and to get a tensor's bytes by name. */
#include "tests/bench/roofline.h"

#include "formats/base/alloc.h"
#include "loader/model/model.h"

#define TENSORS 100000
#define TOKENS 131072
#define ELEMENTS 32 /* of a tensor, F32 */
#define OPEN_BAR 50 /* ms */
#define FIND_BAR 1  /* us */

/* value types */
enum { GGUF_I32 = 5, GGUF_F32 = 6, GGUF_STRING = 8, GGUF_ARRAY = 9 };

static bench_bars bars;

static void put_string(lort_buffer *out, const char *text)
{
    lort_put_u64(out, strlen(text));
    lort_put_bytes(out, text, strlen(text));
}

static void put_array(lort_buffer *out, const char *key, uint32_t type)
{
    put_string(out, key);
    lort_put_u32(out, GGUF_ARRAY);
    lort_put_u32(out, type);
    lort_put_u64(out, TOKENS);
}

/* Makes names as models of experts have them. */
static void name_of(int i, char out[64])
{
    static const char *const parts[] = {"ffn_gate", "ffn_up", "ffn_down", "attn_q"};
    snprintf(out, 64, "blk.%d.%s.%d.weight", i / 1024, parts[i % 4], i / 4 % 256);
}

static void put_vocabulary(lort_buffer *out)
{
    char token[32];
    put_array(out, "tokenizer.ggml.tokens", GGUF_STRING);
    for (unsigned i = 0; i < TOKENS; i++) {
        snprintf(token, sizeof token, "%.*s%u", (int)(i % 7), "token.", i);
        put_string(out, token);
    }
    put_array(out, "tokenizer.ggml.scores", GGUF_F32);
    lort_put_zeros(out, 4 * TOKENS);
    put_array(out, "tokenizer.ggml.token_type", GGUF_I32);
    for (unsigned i = 0; i < TOKENS; i++)
        lort_put_u32(out, 1);
}

static void write_model(const char *path)
{
    lort_buffer out = {.alloc = &lort_alloc_heap};
    lort_error err = {0};
    char name[64];

    lort_put_bytes(&out, "GGUF\3\0\0\0", 8);
    lort_put_u64(&out, TENSORS);
    lort_put_u64(&out, 4);
    put_string(&out, "general.architecture");
    lort_put_u32(&out, GGUF_STRING);
    put_string(&out, "llama");
    put_vocabulary(&out);
    for (int i = 0; i < TENSORS; i++) {
        name_of(i, name);
        put_string(&out, name);
        lort_put_u32(&out, 1);
        lort_put_u64(&out, ELEMENTS);
        lort_put_u32(&out, LORT_F32);
        lort_put_u64(&out, (uint64_t)i * ELEMENTS * 4);
    }
    lort_put_zeros(&out, (32 - out.size % 32) % 32);
    printf("%d tensors, %d tokens: header of %.1f MB\n", TENSORS, TOKENS, 1e-6 * (double)out.size);
    for (uint32_t i = 0; i < TENSORS * ELEMENTS; i++)
        lort_put_u32(&out, i);
    bench_ok(lort_buffer_check(&out, &err), &err);
    bench_write(path, out.data, out.size, "", 0);
    lort_buffer_free(&out);
}

static lort_model *open_model(const char *path, double *seconds)
{
    lort_model *model;
    lort_error err = {0};
    const double begin = bench_now();
    bench_ok(lort_model_open(path, &lort_alloc_heap, NULL, NULL, &model, &err), &err);
    *seconds = bench_now() - begin;
    return model;
}

/* Returns a tensor's bytes by name, without scratch: a view of the mapping or a failure. */
static const uint8_t *bytes_of(lort_model *model, const char *name, size_t length)
{
    const lort_tensor *t = lort_index_find(lort_model_index(model), name, length);
    const uint8_t *bytes = NULL;
    lort_error err = {0};
    bench_need(t != NULL, name);
    bench_ok(lort_model_view(model, t->file, t->offset, t->bytes, NULL, &bytes, &err), &err);
    return bytes;
}

/* Finds all tensors in an order that no cache foresees. Returns the microseconds for one. */
static double find_all(lort_model *model, char (*names)[64], const uint8_t **found)
{
    const double begin = bench_now();
    for (uint32_t i = 0, at = 1; i < TENSORS; i++, at = (at + 61803) % TENSORS)
        found[at] = bytes_of(model, names[at], strlen(names[at]));
    return 1e6 * (bench_now() - begin) / TENSORS;
}

static void measure_find(lort_model *model)
{
    char(*names)[64] = bench_take(TENSORS * sizeof *names);
    const uint8_t **first = bench_take(TENSORS * sizeof *first),
                  **again = bench_take(TENSORS * sizeof *again);
    double least = 1e9;
    bool same = !lort_model_unmapped(model);

    for (int i = 0; i < TENSORS; i++)
        name_of(i, names[i]);
    const double cold = find_all(model, names, first);
    for (int i = 0; i < 5; i++)
        least = fmin(least, find_all(model, names, again));
    for (uint32_t i = 0; i < TENSORS; i++)
        same = same && first[i] == again[i] && lort_load_u32(first[i] + 4) == i * ELEMENTS + 1;
    printf("  tensor by name              %9.3f us   (first time %.3f us); %s\n", least, cold,
           same ? "same address twice, in the mapping" : "ANOTHER ADDRESS");
    bench_at_most(&bars, least, FIND_BAR, "us", "a tensor by name");
    bench_at_least(&bars, same, 1, "", true, "of all tensors the same address twice, no copy");
    free(names);
    free(first);
    free(again);
}

int main(void)
{
    const bench_files files = bench_files_make("gguf");
    double seconds, best = 1e9, first = 0;

    write_model(files.model);
    printf("  memcpy                      %9.1f GB/s\n", bench_memcpy());
    for (int i = 0; i < 7; i++) {
        lort_model *model = open_model(files.model, &seconds);
        best = fmin(best, seconds);
        first = i == 0 ? seconds : first;
        lort_model_close(model);
    }
    printf("  opened in                   %9.2f ms   (first time %.2f ms)\n", 1e3 * best,
           1e3 * first);
    bench_at_most(&bars, 1e3 * best, OPEN_BAR, "ms",
                  "a GGUF of 100,000 tensors and 131,072 tokens opens in");
    lort_model *model = open_model(files.model, &seconds);
    measure_find(model);
    lort_model_close(model);
    bench_bars_print(&bars);
    bench_files_remove(&files);
    return 0;
}
