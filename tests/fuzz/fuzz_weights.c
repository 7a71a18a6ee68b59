/* Fuzz target: weights for programs (lort_weights_*), over any containers and models. No crash, and
 * no more than the given memory. LoRT finds a tensor by its name. Bytes and rows are the same in
 * pieces of any size, from any row, and by address. A container whose hashes are right gives the
 * bytes of its content.
 *
 * Input: a byte that says how, sizes of pieces, and the rest. The rest is a file as it stands, or
 * it is sealed (fuzz_sealed.h), with a payload as it stands or as its decoded content. */
#define _GNU_SOURCE
#include "compress/lort.h"
#include "formats/base/bytes.h"
#include "fuzz_dir.h"
#include "fuzz_sealed.h"
#include "loader/store/codec.h"
#include "tests/unit/sized.h"

#define MEMORY (UINT64_C(1) << 29)
static const lort_run_options limits = {RUN_SIZE, .memory_bytes = MEMORY};
#define BYTES_MOST (1u << 19) /* of a tensor that is streamed, in f32 too */

static lort_codec *codec;

typedef struct stream {
    uint8_t *bytes;
    uint64_t unit;           /* bytes of one unit of the numbers below */
    uint64_t first, at, end; /* from the tensor's start */
    uint64_t most;           /* of a piece */
} stream;

static void take(stream *s, uint64_t at, const void *piece, uint64_t count)
{
    CHECK(at == s->at && count > 0 && count <= s->most && count <= s->end - at);
    memcpy(s->bytes + (at - s->first) * s->unit, piece, count * s->unit);
    s->at += count;
}

static lort_code take_bytes(void *ctx, uint64_t at, const void *piece, uint64_t count)
{
    take(ctx, at, piece, count);
    return LORT_OK;
}

static lort_code take_rows(void *ctx, uint64_t at, const float *piece, uint64_t count)
{
    take(ctx, at, piece, count);
    return LORT_OK;
}

static void check_code(lort_code code, const lort_error *err)
{
    CHECK(code == LORT_OK || code == LORT_E_DAMAGED || code == LORT_E_NUMERIC);
    CHECK(code == LORT_OK || (err->code == code && err->message[0] &&
                              lort_utf8_valid(err->message, strlen(err->message))));
}

/* Returns all bytes of a tensor; NULL if it cannot be read. */
static uint8_t *bytes_of(lort_weights *w, uint64_t number, uint64_t size, uint64_t piece)
{
    stream s = {.bytes = malloc(size + 1), .unit = 1, .end = size, .most = piece};
    lort_error err = {0};
    void *buffer = malloc(piece);
    CHECK(s.bytes && buffer);
    const lort_code code = lort_weights_bytes(w, number, buffer, piece, take_bytes, &s, &err);
    check_code(code, &err);
    CHECK(code || s.at == size);
    free(buffer);
    if (code) {
        free(s.bytes);
        s.bytes = NULL;
    }
    return s.bytes;
}

static float *rows_of(lort_weights *w, uint64_t number, int64_t first, int64_t rows, uint64_t cols,
                      uint64_t piece)
{
    stream s = {.unit = sizeof(float),
                .first = (uint64_t)first * cols,
                .at = (uint64_t)first * cols,
                .end = (uint64_t)(first + rows) * cols,
                .most = piece};
    lort_error err = {0};
    float *buffer = malloc(piece * sizeof *buffer);
    s.bytes = malloc((uint64_t)rows * cols * sizeof(float) + 1);
    CHECK(s.bytes && buffer);
    const lort_code code = lort_weights_rows(w, number, first, rows, buffer, piece * sizeof *buffer,
                                             take_rows, &s, &err);
    check_code(code, &err);
    CHECK(code || s.at == s.end);
    free(buffer);
    if (code) {
        free(s.bytes);
        s.bytes = NULL;
    }
    return (float *)(void *)s.bytes;
}

static void check_bytes(lort_weights *w, uint64_t number, const lort_tensor_info *info,
                        uint64_t piece, const uint8_t *content)
{
    const void *address = lort_weights_address(w, number);
    uint8_t *a = bytes_of(w, number, info->bytes, info->bytes + 7),
            *b = bytes_of(w, number, info->bytes, piece);
    CHECK((a == NULL) == (b == NULL));
    if (a)
        CHECK(memcmp(a, b, info->bytes) == 0 && (!address || memcmp(a, address, info->bytes) == 0));
    if (content)
        CHECK(a && memcmp(a, content, info->bytes) == 0);
    free(a);
    free(b);
}

static void check_rows(lort_weights *w, uint64_t number, const lort_tensor_info *info,
                       uint64_t piece, unsigned from)
{
    const int64_t rows = info->slices * info->rows, first = rows ? (int64_t)from % rows : 0;
    const uint64_t cols = (uint64_t)info->cols, values = (uint64_t)rows * cols;
    lort_error err = {0};
    float *all = rows_of(w, number, 0, rows, cols, values < 256 ? 256 : values),
          *again = rows_of(w, number, 0, rows, cols, 256 + piece % 1024);
    CHECK((all == NULL) == (again == NULL));
    if (all) {
        float *some = rows_of(w, number, first, rows - first, cols, 256 + piece % 100);
        CHECK(values == 0 || memcmp(all, again, values * sizeof *all) == 0);
        CHECK(some && (values == 0 || memcmp(all + (uint64_t)first * cols, some,
                                             (uint64_t)(rows - first) * cols * sizeof *all) == 0));
        free(some);
    }
    CHECK(lort_weights_rows(w, number, rows, 1, all, 1024, take_rows, NULL, &err) == LORT_E_USAGE);
    CHECK(lort_weights_rows(w, number, -1, 1, all, 1024, take_rows, NULL, &err) == LORT_E_USAGE);
    free(all);
    free(again);
}

static void check_tensor(lort_weights *w, uint64_t number, uint64_t piece, unsigned from,
                         const sealed *s)
{
    lort_tensor_info info;
    uint64_t found = 0;
    const uint8_t *content = NULL;
    CHECK(lort_weights_info(w, number, &info, NULL) == LORT_OK && info.name && info.dtype);
    /* the name goes on behind a NUL, and another name is its start */
    if (lort_weights_find(w, info.name, &found, NULL) == LORT_OK && found != number) {
        lort_tensor_info other;
        CHECK(lort_weights_info(w, found, &other, NULL) == LORT_OK &&
              strcmp(other.name, info.name) == 0);
    }
    for (uint32_t i = 0, tensors = 0; s && !s->literal && i < s->count; i++)
        if (s->parts[i].part.tensor && tensors++ == number)
            content = s->parts[i].content;
    const uint64_t elements = (uint64_t)info.slices * (uint64_t)info.rows * (uint64_t)info.cols;
    if (info.has_bytes && info.bytes <= BYTES_MOST)
        check_bytes(w, number, &info, piece, content);
    if (info.has_rows && elements <= BYTES_MOST / sizeof(float))
        check_rows(w, number, &info, piece, from);
}

static void check_file(const uint8_t *bytes, size_t n, uint64_t piece, unsigned from,
                       const sealed *s)
{
    lort_weights *w;
    lort_tensor_info info;
    lort_error err = {0};
    uint64_t number;
    const lort_code code = lort_weights_open(fuzz_write("m", bytes, n), &limits, &w, &err);
    CHECK((code == LORT_OK) == (w != NULL) &&
          (code == LORT_OK || (err.code == code && err.message[0])));
    CHECK(code == LORT_OK || code == LORT_E_INPUT || code == LORT_E_DAMAGED);
    if (s)
        CHECK((code == LORT_OK) == s->names_differ);
    if (!w)
        return;
    const uint64_t count = lort_weights_count(w);
    for (uint64_t i = 0; i < count && i < 32; i++)
        check_tensor(w, i, piece, from, s);
    CHECK(lort_weights_info(w, count, &info, NULL) == LORT_E_USAGE &&
          !lort_weights_address(w, count));
    CHECK(lort_weights_find(w, "no tensor of this name", &number, NULL) == LORT_E_USAGE);
    CHECK(lort_weights_check(w, NULL) == LORT_OK);
    lort_weights_close(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input in = {data, size};
    const unsigned how = input_u8(&in) % 3, from = input_u8(&in);
    const uint64_t piece = (uint64_t)input_u16(&in) + 1;
    sealed s;
    if (!codec)
        CHECK(lort_codec_open(1, &codec, NULL) == LORT_OK);
    if (how == 0) {
        check_file(in.at, in.left, piece, from, NULL);
        return 0;
    }
    sealed_make(&s, in, how == 1, "bytes", codec);
    check_file(s.file.data, s.file.size, piece, from, &s);
    sealed_free(&s);
    return 0;
}
