/* A model and its container behind one interface: the same tensors, the same bytes, and changes
 * that are told. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "compress/read/input.h"
#include "formats/base/bytes.h"
#include "tests/unit/command_fixture.h"
#include "tests/unit/main.h"

#define ROWS 40
#define COLS 24
#define CHUNK (1 << 16) /* of scratch for containers */

static float values[ROWS * COLS];
static const tiny_tensor tensors[] = {
    {"blk.0.attn_q.weight", "F32", 2, {ROWS, COLS}, values},
    {"blk.0.ids", "I32", 1, {50}, NULL},
    {"norm.weight", "F16", 1, {64}, NULL},
};

/* "m.safetensors" and its lossless container "m.lort" in a fresh directory. */
static int set_up(void **state)
{
    dir_open(state);
    tiny_fill_noise(values, ROWS * COLS, 7);
    tiny_safetensors(dir, "m.safetensors", tensors, 3);
    lort_options options = options_rank(1);
    options.goal = LORT_GOAL_LOSSLESS;
    compress_to("m.safetensors", "m.lort", &options);
    return 0;
}

static lort_input open_input(const char *name)
{
    lort_input input;
    lort_error err = {0};
    assert_code(
        lort_input_open(tiny_path(dir, name), &lort_alloc_heap, NULL, NULL, NULL, &input, &err),
        LORT_OK, &err);
    return input;
}

static lort_entry find(const lort_input *input, const char *name)
{
    lort_entry entry;
    assert_true(lort_input_find(input, name, strlen(name), &entry));
    return entry;
}

static lort_code collect(void *ctx, const void *bytes, uint64_t count, lort_error *err)
{
    lort_put_bytes(ctx, bytes, count);
    return LORT_OK;
}

/* The bytes of a tensor, read with a scratch of `chunk` bytes. */
static lort_buffer bytes_of(const lort_entry *entry, uint64_t chunk)
{
    lort_buffer out = {.alloc = &lort_alloc_heap};
    lort_scratch scratch = {0};
    lort_error err = {0};
    assert_code(lort_scratch_open_read(&scratch, &lort_alloc_heap, chunk, &err), LORT_OK, &err);
    assert_code(lort_codec_open(1, &scratch.codec, &err), LORT_OK, &err);
    assert_code(lort_entry_bytes(entry, &scratch, collect, &out, &err), LORT_OK, &err);
    lort_scratch_close(&scratch, &lort_alloc_heap);
    lort_entry_release(entry);
    return out;
}

static void told_by_content(void **state)
{
    lort_input model = open_input("m.safetensors"), container = open_input("m.lort");
    assert_true(model.model && !model.archive);
    assert_true(container.archive && !container.model);
    lort_input_close(&model);
    lort_input_close(&container);
    /* names say nothing */
    assert_int_equal(rename(tiny_path(dir, "m.lort"), tiny_path(dir, "other.safetensors")), 0);
    container = open_input("other.safetensors");
    assert_non_null(container.archive);
    lort_input_close(&container);
    lort_input_close(&container); /* closed and zeroed */
}

static void what_does_not_open_is_empty(void **state)
{
    lort_input input;
    lort_error err = {0};
    memset(&input, 0xff, sizeof input);
    assert_code(
        lort_input_open(tiny_path(dir, "gone"), &lort_alloc_heap, NULL, NULL, NULL, &input, &err),
        LORT_E_INPUT, &err);
    assert_true(!input.model && !input.archive);
    lort_input_close(&input);
    assert_int_equal(truncate(tiny_path(dir, "m.lort"), 500), 0);
    assert_code(
        lort_input_open(tiny_path(dir, "m.lort"), &lort_alloc_heap, NULL, NULL, NULL, &input, &err),
        LORT_E_DAMAGED, &err);
    lort_input_close(&input);
}

static void tensors_by_number_and_by_name(void **state)
{
    lort_input inputs[] = {open_input("m.safetensors"), open_input("m.lort")};
    for (int i = 0; i < 2; i++) {
        lort_entry none;
        assert_int_equal(inputs[i].index->count, 3);
        for (uint64_t n = 0; n < 3; n++) {
            const lort_entry entry = lort_input_entry(&inputs[i], n),
                             found = find(&inputs[i], entry.tensor->name);
            assert_string_equal(entry.tensor->name, lort_input_entry(&inputs[0], n).tensor->name);
            assert_ptr_equal(found.tensor, entry.tensor);
            assert_ptr_equal(found.part, entry.part);
            assert_ptr_equal(entry.input, &inputs[i]);
            assert_true((entry.part != NULL) == (i == 1));
        }
        assert_false(lort_input_find(&inputs[i], "norm", 4, &none));
        /* by its length */
        assert_true(lort_input_find(&inputs[i], "norm.weight and more", 11, &none));
    }
    lort_input_close(&inputs[0]);
    lort_input_close(&inputs[1]);
}

static void what_decodes(void **state)
{
    lort_input inputs[] = {open_input("m.safetensors"), open_input("m.lort")};
    for (int i = 0; i < 2; i++) {
        const lort_entry matrix = find(&inputs[i], "blk.0.attn_q.weight"),
                         ids = find(&inputs[i], "blk.0.ids");
        assert_true(lort_entry_decodes(&matrix));
        assert_false(lort_entry_decodes(&ids));
    }
    lort_input_close(&inputs[0]);
    lort_input_close(&inputs[1]);
}

static void bytes_are_the_same_from_both(void **state)
{
    lort_input model = open_input("m.safetensors"), container = open_input("m.lort");
    for (uint64_t n = 0; n < 3; n++) {
        const lort_entry entry = lort_input_entry(&model, n),
                         coded = find(&container, entry.tensor->name);
        lort_buffer wanted = bytes_of(&entry, CHUNK), pieces = bytes_of(&entry, 100),
                    found = bytes_of(&coded, CHUNK);
        assert_int_equal(wanted.size, entry.tensor->bytes);
        assert_int_equal(pieces.size, wanted.size);
        assert_int_equal(found.size, wanted.size);
        assert_memory_equal(pieces.data, wanted.data, wanted.size);
        assert_memory_equal(found.data, wanted.data, wanted.size);
        lort_buffer_free(&wanted);
        lort_buffer_free(&pieces);
        lort_buffer_free(&found);
    }
    lort_input_close(&model);
    lort_input_close(&container);
}

/* Any range of elements, with a scratch that holds all of them or ten. */
static void elements_of_any_range(void **state)
{
    static const uint64_t ranges[][2] = {
        {0, ROWS * COLS}, {0, 1}, {ROWS * COLS - 1, 1}, {17, 100}, {5, 0}};
    lort_input model = open_input("m.safetensors");
    const lort_entry entry = find(&model, "blk.0.attn_q.weight");
    uint8_t bytes[sizeof values];
    float found[ROWS * COLS];
    lort_error err = {0};
    for (size_t i = 0; i < 2 * sizeof ranges / sizeof *ranges; i++) {
        const uint64_t *range = ranges[i / 2];
        const lort_scratch scratch = {.bytes = bytes, .size = i % 2 ? 40 : sizeof bytes};
        memset(found, 0xff, sizeof found);
        assert_code(lort_entry_elements(&entry, range[0], range[1], &scratch, found, &err), LORT_OK,
                    &err);
        assert_memory_equal(found, values + range[0], range[1] * sizeof *found);
        assert_true(range[1] == ROWS * COLS || isnan(found[range[1]])); /* and no more */
    }
    lort_input_close(&model);
}

static lort_code refuse_all(void *ctx, const void *bytes, uint64_t count, lort_error *err)
{
    ++*(int *)ctx;
    return lort_fail(err, LORT_E_WRITE, "enough");
}

static void a_sink_that_fails_ends_the_reading(void **state)
{
    static const char *const names[] = {"m.safetensors", "m.lort"};
    for (int i = 0; i < 2; i++) {
        lort_input input = open_input(names[i]);
        const lort_entry entry = find(&input, "blk.0.attn_q.weight");
        lort_scratch scratch = {0};
        lort_error err = {0};
        int calls = 0;
        assert_code(lort_scratch_open_read(&scratch, &lort_alloc_heap, i ? CHUNK : 64, &err),
                    LORT_OK, &err);
        assert_code(lort_codec_open(1, &scratch.codec, &err), LORT_OK, &err);
        assert_code(lort_entry_bytes(&entry, &scratch, refuse_all, &calls, &err), LORT_E_WRITE,
                    &err);
        assert_int_equal(calls, 1);
        lort_scratch_close(&scratch, &lort_alloc_heap);
        lort_input_close(&input);
    }
}

static void changes_are_told(void **state)
{
    static const char *const names[] = {"m.safetensors", "m.lort"};
    for (int i = 0; i < 2; i++) {
        lort_error err = {0};
        make_old(names[i]);
        lort_input input = open_input(names[i]);
        const lort_entry entry = find(&input, "norm.weight");
        assert_code(lort_input_unchanged(&input, &err), LORT_OK, &err);
        assert_code(lort_entry_unchanged(&entry, &err), LORT_OK, &err);
        FILE *file = fopen(tiny_path(dir, names[i]), "ab");
        assert_non_null(file);
        assert_true(fputc('x', file) == 'x' && fclose(file) == 0);
        assert_code(lort_input_unchanged(&input, &err), LORT_E_READ, &err);
        assert_says(&err, names[i]);
        assert_code(lort_entry_unchanged(&entry, &err), i ? LORT_OK : LORT_E_READ,
                    /* chunks have hashes of their own */
                    &err);
        assert_code(lort_entry_check(&entry, &err), LORT_OK, &err); /* no read has failed */
        lort_input_close(&input);
    }
}

/* The header of a weight file, asked for with a buffer of `room` bytes. What lies behind the buffer
 * stays as it is. */
static void header_is(const lort_input *input, uint32_t number, const lort_buffer *file,
                      uint64_t size, uint64_t room)
{
    lort_scratch scratch = {0};
    lort_error err = {0};
    uint64_t bytes = 1;
    uint8_t *got = malloc(size + 1);
    assert_non_null(got);
    memset(got, 0x5a, size + 1);
    assert_code(lort_scratch_open_read(&scratch, &lort_alloc_heap, CHUNK, &err), LORT_OK, &err);
    assert_code(lort_codec_open(1, &scratch.codec, &err), LORT_OK, &err);
    assert_code(lort_input_header(input, number, &scratch, room ? got : NULL, room, &bytes, &err),
                LORT_OK, &err);
    assert_int_equal(bytes, size);
    assert_memory_equal(got, file->data, room < size ? room : size);
    assert_int_equal(got[room < size ? room : size], 0x5a);
    lort_scratch_close(&scratch, &lort_alloc_heap);
    free(got);
}

static lort_buffer read_file(const char *path)
{
    lort_buffer out = {.alloc = &lort_alloc_heap};
    uint8_t piece[4096];
    size_t n;
    FILE *in = fopen(path, "rb");
    assert_non_null(in);
    while ((n = fread(piece, 1, sizeof piece, in)) > 0)
        lort_put_bytes(&out, piece, n);
    fclose(in);
    return out;
}

/* Checks the headers of a model and of its container. paths: its weight files, in order. */
static void headers_are_those_of(const char *model, const char *const *paths, uint32_t count)
{
    lort_options options = options_rank(1);
    lort_report report = {0};
    lort_error err = {0};
    uint64_t sizes[2];
    options.goal = LORT_GOAL_LOSSLESS;
    options.force = true;
    assert_code(lort_compress(model, tiny_path(dir, "headers.lort"), &options, NULL, &report, &err),
                LORT_OK, &err);
    lort_report_free(&report);
    for (int stored = 0; stored < 2; stored++) {
        lort_input input;
        assert_code(lort_input_open(stored ? tiny_path(dir, "headers.lort") : model,
                                    &lort_alloc_heap, NULL, NULL, NULL, &input, &err),
                    LORT_OK, &err);
        assert_int_equal(lort_input_weight_files(&input), count);
        for (uint32_t f = 0; f < count; f++) {
            lort_buffer file = read_file(paths[f]);
            if (!stored)
                sizes[f] = memcmp(file.data, "GGUF", 4) == 0 ? input.index->tensors[0].offset
                                                             : lort_load_u64(file.data) + 8;
            for (uint64_t room = 0; room <= sizes[f]; room += 1 + sizes[f] / 3)
                header_is(&input, f, &file, sizes[f], room);
            header_is(&input, f, &file, sizes[f], sizes[f]);
            lort_buffer_free(&file);
        }
        lort_input_close(&input);
    }
}

static void headers_of_weight_files(void **state)
{
    static const char *const shards[] = {"tests/data/kjv-3m/hf/model-00001-of-00002.safetensors",
                                         "tests/data/kjv-3m/hf/model-00002-of-00002.safetensors"};
    const char *const one[] = {tiny_path(dir, "m.safetensors")},
                      *const gguf[] = {"tests/data/kjv-3m/kjv-3m-f16.gguf"};
    headers_are_those_of(one[0], one, 1);
    headers_are_those_of("tests/data/kjv-3m/hf", shards, 2);
    headers_are_those_of(gguf[0], gguf, 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, dir_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(told_by_content),
        TEST(what_does_not_open_is_empty),
        TEST(tensors_by_number_and_by_name),
        TEST(what_decodes),
        TEST(bytes_are_the_same_from_both),
        TEST(elements_of_any_range),
        TEST(a_sink_that_fails_ends_the_reading),
        TEST(changes_are_told),
        TEST(headers_of_weight_files),
    };
    return run_chosen(tests, NULL, NULL);
}
