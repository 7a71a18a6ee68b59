#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "formats/base/bytes.h"
#include "formats/base/plain_path.h"
#include "formats/container/part.h"
#include "tests/unit/container_fixture.h"
#include "tests/unit/main.h"

#include <math.h>
#include <stdio.h>

static fixture fix;

static int set_up(void **state)
{
    (void)state;
    fixture_build(&fix);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fixture_free(&fix);
    return 0;
}

/* ---- frames ---- */

static void frames_come_back(void **state)
{
    (void)state;
    static const uint8_t body[] = "twelve bytes";
    for (int kind = LORT_FRAME_HEAD; kind <= LORT_FRAME_FOOTER; kind++) {
        lort_buffer out = {.alloc = &lort_alloc_heap};
        lort_frame in = {.kind = (lort_frame_kind)kind,
                         .pieces = 1,
                         .decoded = 12,
                         .body = body,
                         .body_bytes = 12},
                   got;
        lort_frame_put(&in, &out);
        lort_put_u8(&out, 0xAA); /* bytes behind the frame, which do not belong to it */
        assert_int_equal(out.size, 12 + LORT_FRAME_HEADER + LORT_FRAME_TRAILER + 1);
        assert_int_equal(lort_load_u32(out.data), 0x184D2A50 + kind);
        assert_int_equal(lort_load_u32(out.data + 4), out.size - 1 - 8);
        assert_int_equal(lort_frame_get(out.data, out.size, &got, NULL), LORT_OK);
        assert_int_equal(got.kind, kind);
        assert_false(got.compressed);
        assert_int_equal(got.decoded, 12);
        assert_memory_equal(got.body, body, 12);
        assert_int_equal(got.frame_bytes, out.size - 1);
        for (uint64_t n = 0; n < got.frame_bytes; n++) {
            lort_error err = {0};
            assert_int_equal(lort_frame_get(out.data, n, &got, &err), LORT_E_DAMAGED);
            assert_non_null(strstr(err.message, "incomplete"));
            assert_null(got.body);
            lort_frame_get(out.data, out.size, &got, NULL);
        }
        lort_buffer_free(&out);
    }
}

/* Each frame has a right hash; only its fields are wrong. */
static void frames_that_contradict_themselves(void **state)
{
    (void)state;
    static const struct {
        lort_frame frame;
        lort_code code;
    } cases[] = {
        {{.kind = LORT_FRAME_PART, .pieces = 1, .decoded = 12, .body_bytes = 12}, LORT_OK},
        {{.kind = LORT_FRAME_PART, .pieces = 3, .piece = 2, .decoded = 36, .body_bytes = 12},
         LORT_OK},
        {{.kind = LORT_FRAME_PART,
          .pieces = 1,
          .compressed = true,
          .decoded = 65536 + 12 * 1024,
          .body_bytes = 12},
         LORT_OK},
        {{.kind = LORT_FRAME_PART, .pieces = 1, .decoded = 0, .body_bytes = 0}, LORT_OK},
        {{.kind = LORT_FRAME_PART,
          .pieces = 1,
          .compressed = true,
          .decoded = 65537 + 12 * 1024,
          .body_bytes = 12},
         LORT_E_DAMAGED},
        {{.kind = LORT_FRAME_PART,
          .pieces = 1,
          .compressed = true,
          .decoded = UINT64_MAX,
          .body_bytes = 12},
         LORT_E_DAMAGED},
        {{.kind = LORT_FRAME_PART,
          .pieces = 2,
          .compressed = true,
          .decoded = 24,
          .body_bytes = 12},
         LORT_E_DAMAGED},
        {{.kind = LORT_FRAME_PART, .pieces = 1, .compressed = true, .decoded = 0, .body_bytes = 0},
         LORT_E_DAMAGED},
        {{.kind = LORT_FRAME_PART, .pieces = 0, .decoded = 12, .body_bytes = 12}, LORT_E_DAMAGED},
        {{.kind = LORT_FRAME_PART, .pieces = 1, .piece = 1, .decoded = 12, .body_bytes = 12},
         LORT_E_DAMAGED},
        {{.kind = LORT_FRAME_PART, .pieces = 65537, .decoded = 12, .body_bytes = 12},
         LORT_E_DAMAGED},
        {{.kind = LORT_FRAME_PART, .pieces = 2, .decoded = 12, .body_bytes = 0}, LORT_E_DAMAGED},
        {{.kind = LORT_FRAME_PART, .pieces = 2, .decoded = 11, .body_bytes = 12}, LORT_E_DAMAGED},
        {{.kind = LORT_FRAME_PART, .pieces = 1, .decoded = 13, .body_bytes = 12}, LORT_E_DAMAGED},
        {{.kind = LORT_FRAME_HEAD, .pieces = 2, .decoded = 24, .body_bytes = 12}, LORT_E_DAMAGED},
        {{.kind = LORT_FRAME_FOOTER,
          .pieces = 1,
          .compressed = true,
          .decoded = 12,
          .body_bytes = 12},
         LORT_E_DAMAGED},
        {{.kind = LORT_FRAME_TASK, .pieces = 1, .decoded = 12, .body_bytes = 12}, LORT_OK},
        {{.kind = LORT_FRAME_TASK,
          .pieces = 1,
          .compressed = true,
          .decoded = 12,
          .body_bytes = 12},
         LORT_E_DAMAGED},
        {{.kind = (lort_frame_kind)7, .pieces = 1, .decoded = 12, .body_bytes = 12},
         LORT_E_DAMAGED},
        {{.kind = (lort_frame_kind)-1, .pieces = 1, .decoded = 12, .body_bytes = 12},
         LORT_E_DAMAGED},
    };
    static const uint8_t body[12];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        lort_buffer out = {.alloc = &lort_alloc_heap};
        lort_frame frame = cases[i].frame, got;
        frame.body = body;
        lort_frame_put(&frame, &out);
        if (lort_frame_get(out.data, out.size, &got, NULL) != cases[i].code)
            fail_msg("case %d", (int)i);
        lort_buffer_free(&out);
    }
}

static void reserved_bits_of_a_frame_are_zero(void **state)
{
    (void)state;
    static const uint8_t body[4];
    lort_buffer out = {.alloc = &lort_alloc_heap};
    lort_frame got;
    lort_frame_put(
        &(lort_frame){
            .kind = LORT_FRAME_PART, .pieces = 1, .decoded = 4, .body = body, .body_bytes = 4},
        &out);
    /* Bytes of flags, piece, pieces and zero: no other value is right for this frame. */
    for (unsigned at = 8; at < 24; at++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            if (at == 8 && bit == 0)
                continue; /* the compression flag */
            if (at >= 16 && at < 20)
                continue; /* a frame may have more pieces */
            out.data[at] ^= (uint8_t)(1u << bit);
            lort_store_u64(out.data + out.size - 8, lort_xxh64(out.data, out.size - 8));
            assert_int_equal(lort_frame_get(out.data, out.size, &got, NULL), LORT_E_DAMAGED);
            out.data[at] ^= (uint8_t)(1u << bit);
        }
    }
    lort_buffer_free(&out);
}

/* ---- head and footer ---- */

static void head_and_footer_come_back(void **state)
{
    (void)state;
    lort_buffer out = {.alloc = &lort_alloc_heap};
    lort_head head;
    lort_footer footer, foot = {72, 500, 100, 680};
    lort_head_put(&(lort_head){1, 7, 0, 0xF0F0}, &out);
    assert_int_equal(out.size, LORT_HEAD_BODY);
    assert_int_equal(lort_head_get(out.data, out.size, &head, NULL), LORT_OK);
    assert_int_equal(head.minor, 7);
    assert_int_equal(head.optional, 0xF0F0);
    assert_int_equal(lort_head_get(out.data, out.size - 1, &head, NULL), LORT_E_DAMAGED);
    out.size = 0;
    lort_footer_put(&foot, &out);
    assert_int_equal(out.size, LORT_FOOTER_BODY);
    assert_int_equal(lort_footer_get(out.data, out.size, &footer, NULL), LORT_OK);
    assert_memory_equal(&foot, &footer, sizeof foot);
    static const lort_footer bad[] = {{71, 500, 100, 680},     {72, 71, 529, 680},
                                      {72, 500, 100, 681},     {72, 500, 101, 680},
                                      {72, UINT64_MAX, 1, 80}, {72, 500, UINT64_MAX - 500, 79}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        out.size = 0;
        lort_footer_put(&bad[i], &out);
        assert_int_equal(lort_footer_get(out.data, out.size, &footer, NULL), LORT_E_DAMAGED);
        assert_int_equal(footer.file_size, 0);
    }
    lort_buffer_free(&out);
}

/* ---- MODEL ---- */

typedef struct model_case {
    lort_model_record model;
    lort_input_file files[3];
    lort_extent extents[FIXTURE_PARTS];
} model_case;

static lort_code model_code(const lort_model_record *model, lort_model_record *out,
                            lort_arena *arena)
{
    lort_buffer body = {.alloc = &lort_alloc_heap};
    lort_error err = {0};
    lort_model_record_put(model, &body);
    lort_code code = lort_model_record_get(body.data, body.size, arena, out, &err);
    assert_true(code == LORT_OK || (err.message[0] && out->files == NULL));
    lort_buffer_free(&body);
    return code;
}

static void models_come_back(void **state)
{
    (void)state;
    lort_arena arena = {.alloc = &lort_alloc_heap};
    lort_model_record m;
    assert_int_equal(model_code(&fix.model, &m, &arena), LORT_OK);
    assert_int_equal(m.algorithm, 1);
    assert_int_equal(m.seed, 42);
    assert_true(m.directory);
    assert_string_equal(m.producer, "lort test");
    assert_string_equal(m.libraries, "none");
    assert_int_equal(m.file_count, 3);
    assert_string_equal(m.files[1].name, "config.json");
    assert_int_equal(m.files[1].role, LORT_ROLE_SIDE);
    assert_string_equal(m.files[0].format, "safetensors");
    assert_int_equal(m.extent_count, FIXTURE_PARTS);
    for (uint32_t i = 0; i < FIXTURE_PARTS; i++) {
        assert_int_equal(m.extents[i].offset, fix.extents[i].offset);
        assert_int_equal(m.extents[i].tensor, fix.extents[i].tensor);
    }
    lort_arena_free(&arena);
}

static void two_of_a_name(model_case *c) { c->files[1].name = c->files[0].name; }
static void up_a_directory(model_case *c) { c->files[0].name = "../x"; }
static void from_the_root(model_case *c) { c->files[0].name = "/x"; }
static void up_in_between(model_case *c) { c->files[0].name = "a/../x"; }
static void here_in_between(model_case *c) { c->files[0].name = "a/./x"; }
static void nothing_in_between(model_case *c) { c->files[0].name = "a//x"; }
static void nothing_behind(model_case *c) { c->files[0].name = "a/"; }
static void device_for_a_folder(model_case *c) { c->files[0].name = "CON/x"; }
static void device_in_a_folder(model_case *c) { c->files[0].name = "a/aux.txt"; }
static void other_slash(model_case *c) { c->files[0].name = "a\\x"; }
static void drive(model_case *c) { c->files[0].name = "C:/x"; }
static void seventeen_names(model_case *c)
{
    c->files[0].name = "1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/x";
}
static void very_long(model_case *c)
{
    static char path[LORT_PLAIN_PATH_MAX + 2];
    memset(path, 'x', sizeof path - 1);
    for (size_t i = 200; i < sizeof path - 1; i += 200)
        path[i] = '/';
    c->files[0].name = path;
}
static void file_that_is_a_folder(model_case *c)
{
    c->files[0].name = "a";
    c->files[1].name = "a-b"; /* stands between the two in the order of names */
    c->files[2].name = "a/x";
}
static void file_that_is_an_outer_folder(model_case *c)
{
    c->files[0].name = "a/b/c";
    c->files[1].name = "a";
}
static void no_name(model_case *c) { c->files[0].name = ""; }
static void role_of_the_future(model_case *c) { c->files[0].role = (lort_role)3; }
static void files_without_directory(model_case *c) { c->model.directory = false; }
static void no_files(model_case *c) { c->model.file_count = 0; }
static void one_byte_uncovered(model_case *c) { c->files[0].size++; }
static void one_byte_too_many(model_case *c) { c->extents[0].bytes++; }
static void last_file_uncovered(model_case *c) { c->model.extent_count--; }
static void file_that_is_not_there(model_case *c) { c->extents[7].file = 3; }
static void files_backwards(model_case *c) { c->extents[0].file = 1; }
static void empty_raw_extent(model_case *c)
{
    c->extents[5].bytes = 0;
    c->files[0].size -= 9;
}
static void huge_extent(model_case *c) { c->extents[0].bytes = UINT64_MAX; }
static void huge_file(model_case *c) { c->files[1].size = UINT64_MAX; }
static void not_text(model_case *c) { c->model.options = "\xff"; }

static void unsound_models_are_refused(void **state)
{
    (void)state;
    static void (*const spoil[])(model_case *) = {
        two_of_a_name,
        up_a_directory,
        from_the_root,
        up_in_between,
        here_in_between,
        nothing_in_between,
        nothing_behind,
        device_for_a_folder,
        device_in_a_folder,
        other_slash,
        drive,
        seventeen_names,
        very_long,
        file_that_is_a_folder,
        file_that_is_an_outer_folder,
        no_name,
        role_of_the_future,
        files_without_directory,
        no_files,
        one_byte_uncovered,
        one_byte_too_many,
        last_file_uncovered,
        file_that_is_not_there,
        files_backwards,
        empty_raw_extent,
        huge_extent,
        huge_file,
        not_text,
    };
    for (size_t i = 0; i < sizeof spoil / sizeof spoil[0]; i++) {
        lort_arena arena = {.alloc = &lort_alloc_heap};
        lort_model_record m;
        model_case c = {.model = fix.model};
        memcpy(c.files, fix.files, sizeof fix.files);
        memcpy(c.extents, fix.extents, sizeof fix.extents);
        c.model.files = c.files;
        c.model.extents = c.extents;
        spoil[i](&c);
        if (model_code(&c.model, &m, &arena) != LORT_E_DAMAGED)
            fail_msg("case %d", (int)i);
        lort_arena_free(&arena);
    }
}

static void files_have_paths(void **state)
{
    (void)state;
    lort_arena arena = {.alloc = &lort_alloc_heap};
    lort_model_record m;
    model_case c = {.model = fix.model};
    memcpy(c.files, fix.files, sizeof fix.files);
    c.model.files = c.files;
    assert_false(lort_model_record_has_paths(&c.model));
    c.files[0].name = "unet/model.safetensors";
    c.files[1].name = "unet-2/a/b/c/d/e/f/g/h/i/j/k/l/m/n/x";
    c.files[2].name = ".gitattributes";
    assert_int_equal(model_code(&c.model, &m, &arena), LORT_OK);
    assert_string_equal(m.files[0].name, "unet/model.safetensors");
    assert_true(lort_model_record_has_paths(&m));
    c.model.directory = false;
    c.model.file_count = 1;
    assert_int_equal(model_code(&c.model, &m, &arena), LORT_E_DAMAGED);
    lort_arena_free(&arena);
}

/* Empty files have no extents; tensors may be empty. */
static void empty_things_are_allowed(void **state)
{
    (void)state;
    lort_arena arena = {.alloc = &lort_alloc_heap};
    lort_model_record m;
    lort_input_file files[] = {{.name = "a", .format = "bytes"},
                               {.name = "b", .size = 3, .format = "bytes"},
                               {.name = "c", .format = "bytes"}};
    lort_extent extents[] = {
        {.file = 1, .tensor = true}, {.file = 1, .bytes = 3}, {.file = 1, .tensor = true}};
    lort_model_record in = {
        .directory = true, .files = files, .file_count = 3, .extents = extents, .extent_count = 3};
    assert_int_equal(model_code(&in, &m, &arena), LORT_OK);
    assert_int_equal(m.extents[2].offset, 3);
    lort_arena_free(&arena);
}

/* ---- PART ---- */

static lort_code part_code(const lort_part *part, lort_part *out, lort_arena *arena)
{
    lort_buffer body = {.alloc = &lort_alloc_heap};
    lort_error err = {0};
    lort_part_put(part, &body);
    lort_code code = lort_part_get(body.data, body.size, arena, out, &err);
    assert_true(code == LORT_OK || (err.message[0] && !out->chunks && !out->name));
    lort_buffer_free(&body);
    return code;
}

/* tests/fuzz found this case: 2^62 + 5 zeros of one byte each take no chunk. As F32 they take 20
 * bytes modulo 2^64, so restore could write beyond its buffer. */
static void elements_are_bounded(void **state)
{
    (void)state;
    uint32_t rank = 0;
    int32_t exponent = 0;
    int64_t dims[2] = {1, (INT64_C(1) << 62) + 5};
    lort_term term = {.kind = LORT_TERM_FACTORS,
                      .left = LORT_F16,
                      .right = LORT_F16,
                      .left_width = 2,
                      .right_width = 2,
                      .rank = &rank,
                      .exponent = &exponent};
    lort_part in = {.tensor = true,
                    .name = "w",
                    .name_bytes = 1,
                    .dtype = LORT_F8_E4M3,
                    .n_dims = 2,
                    .dims = dims,
                    .slices = 1,
                    .reason = "",
                    .terms = &term,
                    .term_count = 1};
    static const struct {
        int64_t cols;
        lort_code code;
    } cases[] = {{(INT64_C(1) << 62) + 5, LORT_E_DAMAGED},
                 {INT64_MAX, LORT_E_DAMAGED},
                 {(INT64_C(1) << 60) + 1, LORT_E_DAMAGED},
                 {INT64_C(1) << 60, LORT_OK},
                 {7, LORT_OK}};
    lort_arena arena = {.alloc = &lort_alloc_heap};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lort_part p;
        dims[1] = cases[i].cols;
        in.source_bytes = (uint64_t)cases[i].cols;
        assert_int_equal(part_code(&in, &p, &arena), cases[i].code);
    }
    lort_arena_free(&arena);
}

/* A part of integers of one slice, with scales. */
typedef struct scaled_case {
    int64_t dims[2];
    uint32_t rank;
    float step;
    lort_term term;
    lort_chunk chunks[2];
    lort_part part;
} scaled_case;

/* codes: the bytes of CODES. */
static void make_scaled(scaled_case *c, uint32_t rows, uint32_t cols, unsigned scaled,
                        uint32_t codes)
{
    *c = (scaled_case){.dims = {rows, cols}, .rank = 1, .step = 0.5f};
    c->term = (lort_term){.kind = LORT_TERM_INTEGERS,
                          .left = LORT_U8,
                          .right = LORT_U8,
                          .left_width = 1,
                          .right_width = 1,
                          .rank = &c->rank,
                          .step = &c->step,
                          .scaled = scaled};
    c->chunks[0] = (lort_chunk){
        .array = LORT_ARRAY_ID(LORT_ARRAY_CODES, 0), .stored = 9, .decoded = codes, .count = codes};
    c->chunks[1] = (lort_chunk){.array = LORT_ARRAY_ID(LORT_ARRAY_BLOCKS, 0),
                                .stored = 9,
                                .decoded = 20,
                                .offset = 9,
                                .count = (uint64_t)rows * cols};
    c->part = (lort_part){.tensor = true,
                          .name = "w",
                          .name_bytes = 1,
                          .dtype = LORT_F32,
                          .n_dims = 2,
                          .dims = c->dims,
                          .slices = 1,
                          .source_bytes = (uint64_t)rows * cols * 4,
                          .reason = "",
                          .terms = &c->term,
                          .term_count = 1,
                          .chunks = c->chunks,
                          .chunk_count = 2,
                          .payload_bytes = 18};
}

/* Only terms of integers have scales, and then CODES end with a code of each column or row. The
 * part has one slice of 3 x 4. */
static void scales_are_in_the_codes(void **state)
{
    (void)state;
    scaled_case c;
    make_scaled(&c, 3, 4, LORT_SCALING_COLS, 11);
    lort_arena arena = {.alloc = &lort_alloc_heap};
    lort_part p;
    assert_int_equal(part_code(&c.part, &p, &arena), LORT_OK);
    assert_true(p.terms[0].scaled);
    /* 3 + 4 codes, then 4 of columns, then 3 of rows */
    static const struct {
        unsigned scaled;
        uint32_t bytes;
    } cases[] = {{0, 7},
                 {LORT_SCALING_COLS, 11},
                 {LORT_SCALING_ROWS, 10},
                 {LORT_SCALING_COLS | LORT_SCALING_ROWS, 14}};
    for (unsigned i = 0; i < 16; i++) {
        const bool fits = i / 4 == i % 4;
        c.term.scaled = cases[i % 4].scaled;
        c.chunks[0].decoded = cases[i / 4].bytes;
        c.chunks[0].count = c.chunks[0].decoded;
        assert_int_equal(part_code(&c.part, &p, &arena), fits ? LORT_OK : LORT_E_DAMAGED);
        if (!fits)
            continue;
        assert_int_equal(p.terms[0].scaled, c.term.scaled);
        const lort_matrices shape = lort_part_matrices(&p);
        assert_int_equal(lort_codes_bytes(p.terms[0].scaled, &shape), c.chunks[0].decoded);
        uint8_t codes[14];
        const lort_scales views = lort_scales_in(codes, c.term.scaled, &shape);
        assert_ptr_equal(views.cols, c.term.scaled & LORT_SCALING_COLS ? codes + 7 : NULL);
        assert_ptr_equal(views.rows, !(c.term.scaled & LORT_SCALING_ROWS) ? NULL
                                     : c.term.scaled & LORT_SCALING_COLS  ? codes + 11
                                                                          : codes + 7);
    }
    for (uint32_t i = 0; i < FIXTURE_PARTS; i++) {
        fixture_part *f = &fix.parts[i];
        for (uint32_t k = 0; k < f->part.term_count; k++) {
            for (unsigned scaled = 1; scaled < 5; scaled++) { /* 4: no flag at all */
                f->terms[k].scaled = scaled;
                assert_int_equal(part_code(&f->part, &p, &arena), LORT_E_DAMAGED);
            }
            f->terms[k].scaled = 0;
        }
    }
    lort_arena_free(&arena);
}

/* An opaque tensor keeps the dims of its file, but its elements are its bytes. */
static void opaque_parts(void **state)
{
    (void)state;
    static const struct {
        uint32_t type, left, slices;
        int64_t dims[3];
        uint64_t bytes;
        bool tensor;
        lort_term_kind kind;
        lort_code code;
    } cases[] = {
        {LORT_OPAQUE + 156, LORT_OPAQUE + 156, 1, {3, 50, 7}, 40, true, LORT_TERM_RAW, LORT_OK},
        {LORT_OPAQUE + 65535, LORT_OPAQUE + 65535, 1, {1, 1, 1}, 40, true, LORT_TERM_RAW, LORT_OK},
        {LORT_OPAQUE + 65536,
         LORT_OPAQUE + 65536,
         1,
         {3, 5, 7},
         40,
         true,
         LORT_TERM_RAW,
         LORT_E_INPUT},
        {LORT_OPAQUE + 156,
         LORT_OPAQUE + 157,
         1,
         {3, 5, 7},
         40,
         true,
         LORT_TERM_RAW,
         LORT_E_DAMAGED},
        {LORT_OPAQUE + 156, LORT_U8, 1, {3, 5, 7}, 40, true, LORT_TERM_RAW, LORT_E_DAMAGED},
        {LORT_U8, LORT_OPAQUE + 156, 1, {2, 4, 5}, 40, true, LORT_TERM_RAW, LORT_E_DAMAGED},
        {LORT_OPAQUE + 156,
         LORT_OPAQUE + 156,
         3,
         {3, 5, 7},
         40,
         true,
         LORT_TERM_RAW,
         LORT_E_DAMAGED},
        {LORT_OPAQUE + 156,
         LORT_OPAQUE + 156,
         1,
         {3, 0, 7},
         40,
         true,
         LORT_TERM_RAW,
         LORT_E_DAMAGED},
        {LORT_OPAQUE + 156,
         LORT_OPAQUE + 156,
         1,
         {INT64_MAX, 2, 1},
         40,
         true,
         LORT_TERM_RAW,
         LORT_E_DAMAGED},
        {LORT_OPAQUE + 156,
         LORT_OPAQUE + 156,
         1,
         {3, -5, 7},
         40,
         true,
         LORT_TERM_RAW,
         LORT_E_DAMAGED},
        {LORT_OPAQUE + 156,
         LORT_OPAQUE + 156,
         1,
         {3, 5, 7},
         40,
         false,
         LORT_TERM_RAW,
         LORT_E_DAMAGED},
        {LORT_OPAQUE + 156,
         LORT_OPAQUE + 156,
         1,
         {3, 5, 7},
         41,
         true,
         LORT_TERM_RAW,
         LORT_E_DAMAGED},
        {LORT_OPAQUE + 156,
         LORT_OPAQUE + 156,
         1,
         {3, 5, 7},
         0,
         true,
         LORT_TERM_RAW,
         LORT_E_DAMAGED},
        {LORT_OPAQUE + 156, LORT_BF16, 1, {1, 40, 1}, 40, true, LORT_TERM_TERNARY, LORT_E_DAMAGED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint32_t rank[3] = {1, 1, 1};
        lort_term term = {.kind = cases[i].kind,
                          .left = (lort_dtype)cases[i].left,
                          .right = (lort_dtype)cases[i].left,
                          .left_width = 1,
                          .right_width = 1,
                          .rank = rank};
        lort_chunk chunk = {LORT_ARRAY_ID(LORT_ARRAY_RAW, 0), 10, 40, 0, 0, 40, 1};
        lort_part in = {.tensor = cases[i].tensor,
                        .name = "",
                        .dtype = (lort_dtype)cases[i].type,
                        .n_dims = 3,
                        .dims = (int64_t *)(uintptr_t)cases[i].dims,
                        .slices = cases[i].slices,
                        .source_bytes = cases[i].bytes,
                        .reason = "",
                        .terms = &term,
                        .term_count = 1,
                        .chunks = &chunk,
                        .chunk_count = 1,
                        .payload_bytes = 10};
        lort_arena arena = {.alloc = &lort_alloc_heap};
        lort_part p;
        if (part_code(&in, &p, &arena) != cases[i].code)
            fail_msg("case %d", (int)i);
        if (cases[i].code == LORT_OK) {
            const lort_matrices shape = lort_part_matrices(&p);
            assert_int_equal(lort_part_elements(&p), 40);
            assert_true(shape.slices == 1 && shape.rows == 1 && shape.cols == 40);
            assert_int_equal(p.dims[0], cases[i].dims[0]);
            assert_int_equal(p.type->id, cases[i].type);
            assert_string_equal(p.type->name, i ? "type65535" : "type156");
            assert_false(lort_part_decodes(&p));
        }
        lort_arena_free(&arena);
    }
}

/* A kept convolution of 3 x 2 x 2 x 1, with one chunk. */
typedef struct kernels {
    int64_t dims[4];
    uint32_t rank[2];
    lort_term term;
    lort_chunk chunk;
    lort_part part;
} kernels;

static void make_kernels(kernels *k)
{
    *k = (kernels){.dims = {3, 2, 2, 1}, .rank = {1, 1}};
    k->term = (lort_term){.left = LORT_F32, .right = LORT_F32, .left_width = 4, .rank = k->rank};
    k->chunk = (lort_chunk){.stored = 9, .decoded = 48, .count = 12};
    k->part = (lort_part){.tensor = true,
                          .name = "w",
                          .name_bytes = 1,
                          .dtype = LORT_F32,
                          .n_dims = 4,
                          .dims = k->dims,
                          .slices = 1,
                          .convolution = true,
                          .source_bytes = 48,
                          .reason = "why",
                          .terms = &k->term,
                          .term_count = 1,
                          .chunks = &k->chunk,
                          .chunk_count = 1,
                          .payload_bytes = 9};
}

static void a_convolution_is_one_matrix(void **state)
{
    lort_arena arena = {.alloc = &lort_alloc_heap};
    lort_part p;
    kernels k;
    (void)state;
    make_kernels(&k);
    assert_int_equal(part_code(&k.part, &p, &arena), LORT_OK);
    assert_true(p.convolution);
    assert_int_equal(lort_part_matrices(&p).rows, 3);
    assert_int_equal(lort_part_matrices(&p).cols, 4);
    k.part.convolution = false;
    assert_int_equal(part_code(&k.part, &p, &arena), LORT_OK);
    assert_int_equal(lort_part_matrices(&p).rows, 12);
    k.part.convolution = true;
    k.part.slices = 6; /* neither one matrix nor slices */
    assert_int_equal(part_code(&k.part, &p, &arena), LORT_E_DAMAGED);
    k.part.slices = 1;
    k.part.n_dims = 2;
    k.dims[1] = 4;
    assert_int_equal(part_code(&k.part, &p, &arena), LORT_E_DAMAGED);
    k.part.n_dims = 3;
    k.part.dtype = k.term.left = k.term.right = LORT_Q8_0; /* rows could cut blocks */
    k.dims[0] = 2, k.dims[1] = 2, k.dims[2] = 32;
    k.part.source_bytes = k.chunk.decoded = 4 * 34;
    k.chunk.count = 128;
    k.term.left_width = 1;
    assert_int_equal(part_code(&k.part, &p, &arena), LORT_E_DAMAGED);
    k.part.convolution = false;
    assert_int_equal(part_code(&k.part, &p, &arena), LORT_OK);
    lort_arena_free(&arena);
}

/* The part `of`, and the record of a tensor with its bytes. */
static lort_part same_part(const lort_part *of)
{
    lort_part p = *of;
    p.number = 7;
    p.name = "v";
    p.convolution = false;
    p.same = true;
    p.origin = 4;
    p.reason = "";
    p.term_count = 0;
    p.chunk_count = p.payload_bytes = 0;
    return p;
}

static void a_part_shares_what_an_earlier_one_stores(void **state)
{
    lort_arena arena = {.alloc = &lort_alloc_heap};
    lort_part p, origin;
    kernels k;
    (void)state;
    make_kernels(&k);
    assert_int_equal(part_code(&k.part, &origin, &arena), LORT_OK);
    lort_part same = same_part(&k.part);
    assert_int_equal(part_code(&same, &p, &arena), LORT_OK);
    assert_int_equal(p.origin, 4);
    assert_int_equal(lort_part_share(&p, &origin, NULL), LORT_OK);
    assert_true(p.convolution);
    assert_ptr_equal(p.chunks, origin.chunks);
    assert_int_equal(p.payload_bytes, 9);
    assert_string_equal(p.name, "v");
    assert_string_equal(p.reason, "why");
    lort_arena_free(&arena);
}

static void own_terms(lort_part *p) { p->term_count = 1; }
static void own_chunks(lort_part *p) { p->chunk_count = 1; }
static void own_payload(lort_part *p) { p->payload_bytes = 9; }
static void own_slices(lort_part *p) { p->slices = 6; }
static void own_reason(lort_part *p) { p->reason = "x"; }
static void own_error(lort_part *p) { p->has_error = true; }
static void own_view(lort_part *p) { p->convolution = true; }
static void of_itself(lort_part *p) { p->origin = 7; }
static void of_a_later_one(lort_part *p) { p->origin = 8; }
static void of_raw_bytes(lort_part *p) { p->tensor = false; }

static void a_part_that_shares_has_nothing_of_its_own(void **state)
{
    static void (*const spoil[])(lort_part *) = {
        own_terms, own_chunks, own_payload, own_slices,     own_reason,
        own_error, own_view,   of_itself,   of_a_later_one, of_raw_bytes};
    lort_arena arena = {.alloc = &lort_alloc_heap};
    lort_part p;
    kernels k;
    (void)state;
    make_kernels(&k);
    for (size_t i = 0; i < sizeof spoil / sizeof *spoil; i++) {
        lort_part same = same_part(&k.part);
        spoil[i](&same);
        if (part_code(&same, &p, &arena) != LORT_E_DAMAGED)
            fail_msg("case %zu was not refused", i);
    }
    lort_arena_free(&arena);
}

static void raw_origin(lort_part *p) { p->tensor = false; }
static void shared_origin(lort_part *p) { p->same = true; }
static void other_type(lort_part *p) { p->dtype = LORT_I32; }
static void other_dims(lort_part *p) { p->n_dims = 3; }
static void other_bytes(lort_part *p) { p->source_bytes++; }
static void other_source(lort_part *p) { p->source.bytes[15]++; }

static void only_equal_tensors_share(void **state)
{
    static void (*const spoil[])(lort_part *) = {raw_origin, shared_origin, other_type,
                                                 other_dims, other_bytes,   other_source};
    kernels k;
    (void)state;
    make_kernels(&k);
    for (size_t i = 0; i < sizeof spoil / sizeof *spoil; i++) {
        lort_part origin = k.part, same = same_part(&k.part);
        spoil[i](&origin);
        if (lort_part_share(&same, &origin, NULL) != LORT_E_DAMAGED || same.term_count)
            fail_msg("case %zu was not refused", i);
    }
}

/* Scales of rows take octaves from the steps. */
static void steps_have_their_limits(void **state)
{
    (void)state;
    static const struct {
        float step;
        bool plain, rows;
    } cases[] = {{0x1p-68f, true, true},     {0x1p68f, true, true},      {0x1.8p68f, true, false},
                 {0x1.8p-85f, true, false},  {0x1p100f, true, false},    {0x1p-100f, true, false},
                 {0x1.8p100f, false, false}, {0x1.8p-101f, false, false}};
    lort_arena arena = {.alloc = &lort_alloc_heap};
    lort_part p;
    fixture_part *f = &fix.parts[7];
    const float before = f->step[0];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        f->step[0] = cases[i].step;
        assert_int_equal(part_code(&f->part, &p, &arena),
                         cases[i].plain ? LORT_OK : LORT_E_DAMAGED);
    }
    f->step[0] = before;
    scaled_case c;
    make_scaled(&c, 1, 1, LORT_SCALING_ROWS, 3);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        c.step = cases[i].step;
        assert_int_equal(part_code(&c.part, &p, &arena), cases[i].rows ? LORT_OK : LORT_E_DAMAGED);
    }
    lort_arena_free(&arena);
}

/* ---- outliers: a part of two slices of 40 x 50 beside integers, 2 outliers in slice 0 ---- */

typedef struct outlier_case {
    lort_part part;
    int64_t dims[3];
    uint32_t ranks[3][2];
    float steps[2];
    lort_term terms[3];
    lort_chunk chunks[8];
    lort_dtype dtype;
} outlier_case;

static void add_array(outlier_case *o, uint32_t id, uint32_t decoded, uint64_t count)
{
    o->chunks[o->part.chunk_count++] = (lort_chunk){.array = id,
                                                    .stored = 9,
                                                    .decoded = decoded,
                                                    .offset = o->part.payload_bytes,
                                                    .count = count};
    o->part.payload_bytes += 9;
}

/* Makes the chunks of both slices; `count` outliers in slice 0. */
static void add_arrays(outlier_case *o, uint32_t count)
{
    o->part.chunk_count = o->part.payload_bytes = 0;
    for (uint32_t s = 0; s < 2; s++) {
        add_array(o, LORT_ARRAY_ID(LORT_ARRAY_CODES, s), 90, 90);
        add_array(o, LORT_ARRAY_ID(LORT_ARRAY_BLOCKS, s), 900, 2000);
        if (s || !count)
            continue;
        add_array(o, LORT_ARRAY_ID(LORT_ARRAY_PLACES, s), 8 * count, count);
        add_array(o, LORT_ARRAY_ID(LORT_ARRAY_OUTLIERS, s), 4 * count, count);
    }
}

static void make_outliers(outlier_case *o)
{
    *o = (outlier_case){.dims = {2, 40, 50}, .ranks = {{1, 1}, {2, 0}}, .steps = {0.5f, 0.5f}};
    o->terms[0] = (lort_term){.kind = LORT_TERM_INTEGERS,
                              .left = LORT_U8,
                              .right = LORT_U8,
                              .left_width = 1,
                              .right_width = 1,
                              .rank = o->ranks[0],
                              .step = o->steps};
    o->terms[1] = (lort_term){.kind = LORT_TERM_OUTLIERS,
                              .left = LORT_F32,
                              .right = LORT_U64,
                              .left_width = 4,
                              .right_width = 8,
                              .left_rotate = true,
                              .rank = o->ranks[1]};
    o->terms[2] = (lort_term){.kind = LORT_TERM_RAW,
                              .left = LORT_F32,
                              .right = LORT_F32,
                              .left_width = 1,
                              .right_width = 1,
                              .rank = o->ranks[2]};
    o->part = (lort_part){.tensor = true,
                          .name = "w",
                          .name_bytes = 1,
                          .dtype = LORT_F32,
                          .n_dims = 3,
                          .dims = o->dims,
                          .slices = 2,
                          .source_bytes = 16000,
                          .reason = "",
                          .terms = o->terms,
                          .term_count = 2,
                          .chunks = o->chunks};
    add_arrays(o, 2);
}

static void outliers_come_back(void **state)
{
    (void)state;
    lort_arena arena = {.alloc = &lort_alloc_heap};
    lort_part p;
    outlier_case o;
    make_outliers(&o);
    assert_int_equal(part_code(&o.part, &p, &arena), LORT_OK);
    assert_int_equal(p.terms[1].kind, LORT_TERM_OUTLIERS);
    assert_true(p.terms[1].left == LORT_F32 && p.terms[1].right == LORT_U64);
    assert_true(p.terms[1].left_rotate && !p.terms[1].right_rotate);
    assert_true(p.terms[1].left_width == 4 && p.terms[1].right_width == 8);
    assert_true(p.terms[1].rank[0] == 2 && p.terms[1].rank[1] == 0);
    assert_null(p.terms[1].step);
    assert_null(p.terms[1].exponent);
    assert_non_null(lort_part_term(&p, 0, LORT_TERM_OUTLIERS));
    assert_null(lort_part_term(&p, 1, LORT_TERM_OUTLIERS));
    assert_true(lort_part_decodes(&p) && !lort_part_is_raw(&p));
    o.ranks[1][0] = 1; /* fewer than may be */
    add_arrays(&o, 1);
    assert_int_equal(part_code(&o.part, &p, &arena), LORT_OK);
    o.ranks[1][0] = 0; /* none at all */
    add_arrays(&o, 0);
    assert_int_equal(part_code(&o.part, &p, &arena), LORT_OK);
    lort_arena_free(&arena);
}

static void outliers_too_many(outlier_case *o)
{
    o->ranks[1][0] = 3; /* of 2000 */
    add_arrays(o, 3);
}
static void outliers_of_doubles(outlier_case *o) { o->terms[1].left = LORT_F64; }
static void outliers_of_halves(outlier_case *o) { o->terms[1].left = LORT_F16; }
static void places_of_u32(outlier_case *o) { o->terms[1].right = LORT_U32; }
static void places_of_i64(outlier_case *o) { o->terms[1].right = LORT_I64; }
static void outliers_scaled(outlier_case *o) { o->terms[1].scaled = LORT_SCALING_COLS; }
static void outliers_rotated_by_one(outlier_case *o) { o->terms[1].left_width = 1; }
static void places_in_no_planes(outlier_case *o) { o->terms[1].right_width = 0; }
static void outliers_of_no_numbers(outlier_case *o) { o->part.dtype = LORT_I32; }
static void outliers_twice(outlier_case *o)
{
    o->terms[2] = o->terms[1];
    o->terms[2].rank = o->ranks[2];
    o->part.term_count = 3;
}
static void outliers_alone(outlier_case *o)
{
    o->ranks[0][0] = 0;
    o->steps[0] = 0;
    for (uint64_t i = 2; i < o->part.chunk_count; i++) {
        o->chunks[i - 2] = o->chunks[i];
        o->chunks[i - 2].offset -= 18;
    }
    o->part.chunk_count -= 2;
    o->part.payload_bytes -= 18;
}
static void outliers_beside_raw(outlier_case *o)
{
    outliers_alone(o);
    o->ranks[2][0] = 1;
    o->part.term_count = 3;
    for (uint64_t i = o->part.chunk_count++; i > 0; i--) {
        o->chunks[i] = o->chunks[i - 1];
        o->chunks[i].offset += 9;
    }
    o->chunks[0] = (lort_chunk){
        .array = LORT_ARRAY_ID(LORT_ARRAY_RAW, 0), .stored = 9, .decoded = 8000, .count = 2000};
    o->part.payload_bytes += 9;
}
static void places_missing(outlier_case *o)
{
    for (uint64_t i = 3; i < o->part.chunk_count; i++) {
        o->chunks[i - 1] = o->chunks[i];
        o->chunks[i - 1].offset -= 9;
    }
    o->part.chunk_count--;
    o->part.payload_bytes -= 9;
}
static void places_behind_outliers(outlier_case *o)
{
    o->chunks[2].array = LORT_ARRAY_ID(LORT_ARRAY_OUTLIERS, 0);
    o->chunks[2].decoded = 8;
    o->chunks[3].array = LORT_ARRAY_ID(LORT_ARRAY_PLACES, 0);
    o->chunks[3].decoded = 16;
}
static void places_too_few(outlier_case *o)
{
    o->chunks[2].count = 1;
    o->chunks[2].decoded = 8;
}
static void places_of_other_size(outlier_case *o) { o->chunks[2].decoded = 8; }
static void outliers_of_other_size(outlier_case *o) { o->chunks[3].decoded = 16; }
static void outliers_of_no_term(outlier_case *o) { o->part.term_count = 1; }
static void outliers_in_the_other_slice(outlier_case *o)
{
    o->ranks[1][0] = 0;
    o->ranks[1][1] = 2;
}

static void unsound_outliers_are_refused(void **state)
{
    (void)state;
    static void (*const cases[])(outlier_case *) = {outliers_too_many,
                                                    outliers_of_doubles,
                                                    outliers_of_halves,
                                                    places_of_u32,
                                                    places_of_i64,
                                                    outliers_scaled,
                                                    outliers_rotated_by_one,
                                                    places_in_no_planes,
                                                    outliers_of_no_numbers,
                                                    outliers_twice,
                                                    outliers_alone,
                                                    outliers_beside_raw,
                                                    places_missing,
                                                    places_behind_outliers,
                                                    places_too_few,
                                                    places_of_other_size,
                                                    outliers_of_other_size,
                                                    outliers_of_no_term,
                                                    outliers_in_the_other_slice};
    lort_arena arena = {.alloc = &lort_alloc_heap};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        outlier_case o;
        lort_part p;
        make_outliers(&o);
        cases[i](&o);
        if (part_code(&o.part, &p, &arena) != LORT_E_DAMAGED)
            fail_msg("case %d", (int)i);
    }
    lort_arena_free(&arena);
}

static void parts_come_back(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < FIXTURE_PARTS; i++) {
        lort_arena arena = {.alloc = &lort_alloc_heap};
        lort_part p;
        const lort_part *in = &fix.parts[i].part;
        assert_int_equal(part_code(in, &p, &arena), LORT_OK);
        assert_int_equal(p.number, i);
        assert_string_equal(p.name, in->name);
        assert_string_equal(p.reason, in->reason);
        assert_int_equal(p.slices, in->slices);
        assert_true(p.rel_error == in->rel_error && p.has_error == in->has_error);
        assert_memory_equal(p.source.bytes, in->source.bytes, 16);
        assert_int_equal(p.chunk_count, in->chunk_count);
        assert_memory_equal(p.chunks, in->chunks, in->chunk_count * sizeof *p.chunks);
        for (uint32_t k = 0; k < p.term_count; k++) {
            assert_memory_equal(p.terms[k].rank, in->terms[k].rank, p.slices * sizeof(uint32_t));
            assert_true((p.terms[k].exponent != NULL) == (p.terms[k].kind == LORT_TERM_FACTORS));
            assert_true((p.terms[k].step != NULL) == (p.terms[k].kind == LORT_TERM_INTEGERS));
            if (p.terms[k].step)
                assert_memory_equal(p.terms[k].step, in->terms[k].step, p.slices * sizeof(float));
            assert_int_equal(p.terms[k].right_width, in->terms[k].right_width);
            assert_int_equal(p.terms[k].left_rotate, in->terms[k].left_rotate);
        }
        assert_int_equal(lort_part_matches(&p, &fix.model, NULL), LORT_OK);
        lort_arena_free(&arena);
    }
    assert_ptr_equal(lort_part_term(&fix.parts[2].part, 1, fix.parts[2].terms[1].kind),
                     &fix.parts[2].terms[1]);
    assert_ptr_equal(lort_part_term(&fix.parts[3].part, 0, fix.parts[3].terms[1].kind),
                     &fix.parts[3].terms[1]);
    assert_null(lort_part_term(&fix.parts[3].part, 2, LORT_TERM_FACTORS));
    assert_ptr_equal(lort_part_term(&fix.parts[7].part, 1, LORT_TERM_FACTORS),
                     &fix.parts[7].terms[1]);
    assert_ptr_equal(lort_part_term(&fix.parts[7].part, 1, LORT_TERM_INTEGERS),
                     &fix.parts[7].terms[0]);
    assert_ptr_equal(lort_part_term(&fix.parts[8].part, 1, LORT_TERM_TERNARY),
                     &fix.parts[8].terms[0]);
    assert_null(lort_part_term(&fix.parts[8].part, 2, LORT_TERM_TERNARY));
}

static void a_part_must_be_its_extent(void **state)
{
    (void)state;
    lort_part p = fix.parts[1].part;
    p.number = 0;
    assert_int_equal(lort_part_matches(&p, &fix.model, NULL), LORT_E_DAMAGED);
    p = fix.parts[1].part;
    p.number = FIXTURE_PARTS;
    assert_int_equal(lort_part_matches(&p, &fix.model, NULL), LORT_E_DAMAGED);
    p = fix.parts[1].part;
    p.tensor = false;
    assert_int_equal(lort_part_matches(&p, &fix.model, NULL), LORT_E_DAMAGED);
    p = fix.parts[0].part;
    p.source_bytes++;
    assert_int_equal(lort_part_matches(&p, &fix.model, NULL), LORT_E_DAMAGED);
    p = fix.parts[0].part;
    p.dtype = LORT_I8;
    assert_int_equal(lort_part_matches(&p, &fix.model, NULL), LORT_E_DAMAGED);
}

static void shapes_of_slices(void **state)
{
    (void)state;
    static int64_t dims[] = {2, 3, 4, 5};
    static const struct {
        uint32_t n_dims, slices;
        int64_t rows, cols;
    } cases[] = {{0, 1, 1, 1}, {1, 1, 1, 2}, {2, 1, 2, 3}, {3, 2, 3, 4},
                 {3, 1, 6, 4}, {4, 6, 4, 5}, {4, 1, 24, 5}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        lort_part p = {.n_dims = cases[i].n_dims, .dims = dims, .slices = cases[i].slices};
        lort_matrices m = lort_part_matrices(&p);
        assert_int_equal(m.slices, cases[i].slices);
        assert_int_equal(m.rows, cases[i].rows);
        assert_int_equal(m.cols, cases[i].cols);
    }
    static int64_t empty[] = {INT64_MAX, INT64_MAX, 0};
    lort_matrices m = lort_part_matrices(&(lort_part){.n_dims = 3, .dims = empty, .slices = 1});
    assert_int_equal(m.rows, 0);
}

/* Faults in parts of the fixture (container_fixture.h). Part 1 is raw in three chunks, part 2 has
 * factors, part 3 is mixed. In part 7 slice 0 is integers (chunks 0 and 1). Slice 1 is factors and
 * integers (chunks 2 to 5), and slice 2 is raw. */
static void rank_too_high(fixture_part *p) { p->rank[0][0] = 6; }
static void slice_in_two_terms(fixture_part *p) { p->rank[1][1] = 1; }
static void exponent_absurd(fixture_part *p) { p->exponent[1] = 5000; }
static void error_is_nan(fixture_part *p) { p->part.rel_error = NAN; }
static void error_is_negative(fixture_part *p) { p->part.rel_error = -0.0; }
static void error_is_infinite(fixture_part *p) { p->part.rel_error = INFINITY; }
static void two_terms_alike(fixture_part *p) { p->terms[1].left = LORT_F16; }
static void factors_of_integers(fixture_part *p)
{
    p->terms[0].left = LORT_I8;
    p->terms[0].left_width = 1;
}
static void no_terms(fixture_part *p) { p->part.term_count = 0; }
static void slices_of_nothing(fixture_part *p) { p->part.slices = 3; }
static void no_slices(fixture_part *p) { p->part.slices = 0; }
static void shape_too_small(fixture_part *p) { p->dims[0] = 1; }
static void shape_negative(fixture_part *p) { p->dims[0] = -2; }
static void shape_overflows(fixture_part *p) { p->dims[0] = p->dims[1] = p->dims[2] = INT64_MAX; }
/* No elements, but slices x rows and rows x cols exceed 64 bits. */
static void shape_overflows_under_a_zero(fixture_part *p)
{
    *p = (fixture_part){.part = {.tensor = true,
                                 .name = "w",
                                 .name_bytes = 1,
                                 .dtype = LORT_F32,
                                 .n_dims = 3,
                                 .dims = p->dims,
                                 .slices = 1,
                                 .reason = "",
                                 .terms = p->terms,
                                 .term_count = 1,
                                 .chunks = p->chunks},
                        .dims = {INT64_MAX, INT64_MAX, 0},
                        .rank = {{1}}};
    p->terms[0] = (lort_term){.kind = LORT_TERM_RAW,
                              .left = LORT_F32,
                              .right = LORT_F32,
                              .left_width = 4,
                              .right_width = 4,
                              .left_rotate = true,
                              .right_rotate = true,
                              .rank = p->rank[0]};
}
/* Zeros without a chunk: 2^62 numbers of one byte each. */
static void numbers_beyond_counting(fixture_part *p)
{
    shape_overflows_under_a_zero(p);
    p->dims[1] = 1;
    p->dims[2] = 1;
    p->dims[0] = (int64_t)1 << 62;
    p->part.dtype = LORT_F8_E4M3;
    p->part.source_bytes = (uint64_t)1 << 62;
    p->terms[0] = (lort_term){.kind = LORT_TERM_FACTORS,
                              .left = LORT_F16,
                              .right = LORT_F16,
                              .left_width = 2,
                              .right_width = 2,
                              .rank = p->rank[1],
                              .exponent = p->exponent};
    memset(p->exponent, 0, sizeof p->exponent);
}
static void bytes_differ(fixture_part *p) { p->part.source_bytes++; }
static void chunk_missing(fixture_part *p) { p->part.chunk_count--; }
static void chunk_too_many(fixture_part *p) { p->part.chunk_count++; }
static void chunk_elsewhere(fixture_part *p)
{
    p->chunks[1].array = LORT_ARRAY_ID(LORT_ARRAY_RAW, 1);
}
static void chunks_swapped(fixture_part *p)
{
    lort_chunk chunk = p->chunks[0];
    p->chunks[0] = p->chunks[1];
    p->chunks[1] = chunk;
}
static void chunk_with_a_gap(fixture_part *p) { p->chunks[1].first++; }
static void chunk_moved(fixture_part *p) { p->chunks[1].offset++; }
static void chunk_empty(fixture_part *p) { p->chunks[0].count = 0; }
static void chunk_lies(fixture_part *p) { p->chunks[0].decoded++; }
static void chunk_stores_nothing(fixture_part *p) { p->chunks[0].stored = 0; }
static void chunk_stores_too_much(fixture_part *p) { p->chunks[0].stored = 1 << 20; }
static void chunk_overruns(fixture_part *p) { p->chunks[0].count = UINT64_MAX; }
static void payload_longer(fixture_part *p) { p->part.payload_bytes++; }
static void width_zero(fixture_part *p) { p->terms[0].left_width = 0; }
static void width_absurd(fixture_part *p) { p->terms[0].left_width = 2000; }
static void rotated_by_three(fixture_part *p)
{
    p->terms[0].left_width = 3;
    p->terms[0].left_rotate = true;
}
static void long_reason(fixture_part *p)
{
    static char reason[2000];
    memset(reason, 'x', sizeof reason - 1);
    p->part.reason = reason;
}
static void reason_not_text(fixture_part *p) { p->part.reason = "\xc3("; }
static void raw_part_with_name(fixture_part *p) { p->part.tensor = false; }
static void raw_slice_left_out(fixture_part *p)
{
    p->rank[0][0] = 0;
    p->part.chunk_count = 0;
    p->part.payload_bytes = 0;
}
static void raw_rank_two(fixture_part *p) { p->rank[0][0] = 2; }
static void raw_with_error(fixture_part *p)
{
    p->part.has_error = true;
    p->part.rel_error = 0.5;
}
static void raw_of_another_type(fixture_part *p) { p->terms[0].left = LORT_BF16; }

static void step_is_nan(fixture_part *p) { p->step[0] = NAN; }
static void step_is_infinite(fixture_part *p) { p->step[0] = INFINITY; }
static void step_is_zero(fixture_part *p) { p->step[0] = 0; }
static void step_is_negative(fixture_part *p) { p->step[1] = -0.5f; }
static void step_where_none_is(fixture_part *p) { p->step[2] = 1; }
static void step_is_minus_zero(fixture_part *p) { p->step[2] = -0.0f; }
static void integers_rank_two(fixture_part *p) { p->rank[0][0] = 2; }
static void integers_of_floats(fixture_part *p) { p->terms[0].left = LORT_F16; }
static void integers_in_planes(fixture_part *p) { p->terms[0].left_width = 2; }
static void integers_rotated(fixture_part *p)
{
    p->terms[0].left_width = 2;
    p->terms[0].left_rotate = true;
}
static void integers_and_raw(fixture_part *p) { p->rank[2][0] = 1; }
static void raw_and_integers(fixture_part *p)
{
    p->rank[0][2] = 1;
    p->step[2] = 1;
}
static void two_terms_of_integers(fixture_part *p) { p->terms[1] = p->terms[0]; }
static void integers_of_no_numbers(fixture_part *p) { p->part.dtype = LORT_I32; }

/* Removes `by` chunks from chunk `at` on. */
static void drop_chunks(fixture_part *p, uint64_t at, uint64_t by)
{
    uint64_t gone = 0;
    for (uint64_t i = at; i < at + by; i++)
        gone += p->chunks[i].stored;
    for (uint64_t i = at + by; i < p->part.chunk_count; i++) {
        p->chunks[i - by] = p->chunks[i];
        p->chunks[i - by].offset -= gone;
    }
    p->part.chunk_count -= by;
    p->part.payload_bytes -= gone;
}
static void codes_missing(fixture_part *p) { drop_chunks(p, 0, 1); }
static void blocks_missing(fixture_part *p) { drop_chunks(p, 1, 1); }
static void integers_without_chunks(fixture_part *p) { drop_chunks(p, 4, 2); }
static void codes_too_few(fixture_part *p)
{
    p->chunks[0].decoded = (uint32_t)--p->chunks[0].count;
}
static void codes_of_other_size(fixture_part *p) { p->chunks[0].decoded++; }
static void block_elsewhere(fixture_part *p)
{
    p->chunks[1].array = LORT_ARRAY_ID(LORT_ARRAY_BLOCKS, 1);
}
static void block_of_no_array(fixture_part *p)
{
    p->chunks[1].array = LORT_ARRAY_ID(LORT_ARRAY_BLOCKS + 1, 0);
}
static void block_not_first(fixture_part *p) { p->chunks[1].first = 1; }
static void block_too_small(fixture_part *p) { p->chunks[1].count--; }
static void block_too_large(fixture_part *p) { p->chunks[1].count++; }
static void block_decodes_to_too_much(fixture_part *p)
{
    p->chunks[1].decoded = (uint32_t)(LORT_BLOCK_HEAD_MAX + 4 * p->chunks[1].count + 1);
}
static void block_stores_too_much(fixture_part *p)
{
    p->chunks[1].stored = p->chunks[1].decoded + p->chunks[1].decoded / 128 + 1025;
}
static void block_stores_nothing(fixture_part *p) { p->chunks[1].stored = 0; }
static void block_moved(fixture_part *p) { p->chunks[1].offset++; }

static void trits_too_few(fixture_part *p) { p->chunks[1].decoded--; }
static void trits_too_many(fixture_part *p) { p->chunks[1].decoded++; }
static void trits_rank_two(fixture_part *p) { p->rank[0][0] = 2; }
static void trits_in_planes(fixture_part *p) { p->terms[0].right_width = 2; }
static void trits_rotated(fixture_part *p) { p->terms[0].right_rotate = true; }
static void trits_of_floats(fixture_part *p) { p->terms[0].right = LORT_F32; }
static void scales_of_another_type(fixture_part *p) { p->terms[0].left = LORT_F16; }
static void trits_of_no_numbers(fixture_part *p) { p->part.dtype = LORT_I32; }
static void another_term(fixture_part *p, lort_term term)
{
    p->rank[2][0] = 1;
    p->step[0] = 1;
    term.rank = p->rank[2];
    term.step = term.kind == LORT_TERM_INTEGERS ? p->step : NULL;
    p->terms[p->part.term_count++] = term;
}
static void trits_and_integers(fixture_part *p)
{
    another_term(p, (lort_term){.kind = LORT_TERM_INTEGERS,
                                .left = LORT_U8,
                                .right = LORT_U8,
                                .left_width = 1,
                                .right_width = 1});
}
static void trits_and_raw(fixture_part *p)
{
    another_term(p, (lort_term){.kind = LORT_TERM_RAW,
                                .left = LORT_F32,
                                .right = LORT_F32,
                                .left_width = 1,
                                .right_width = 1});
}
static void factors_of_no_whole_blocks(fixture_part *p) /* 6 x 2 numbers are no whole block */
{
    p->terms[0].left = LORT_Q8_0;
    p->chunks[0].decoded = 34;
}
static void factors_of_trits(fixture_part *p) { p->terms[0].right = LORT_TQ2_0; }
static void two_terms_of_trits(fixture_part *p) { another_term(p, p->terms[0]); }

/* A 16 x 30 matrix of rank 2. Its left factor is one whole block across all rows; its right factor
 * has 60 numbers in F16. */
static void factors_may_be_blocks(void **state)
{
    (void)state;
    lort_arena arena = {.alloc = &lort_alloc_heap};
    lort_part p;
    fixture *other = calloc(1, sizeof *other);
    lort_codec *codec;
    const uint8_t left[34] = {0x00, 0x3c, 1, 2, 3}, right[120] = {0};
    assert_non_null(other);
    assert_int_equal(lort_codec_open(1, &codec, NULL), LORT_OK);
    fixture_part *made = fixture_begin(other, 2, "blocks.weight", LORT_U8, 2, 16, 30, 0, 1);
    made->part.dtype = LORT_BF16;
    made->part.source_bytes = 960;
    const lort_term *factors = fixture_term(made, LORT_TERM_FACTORS, LORT_Q8_0, LORT_F16);
    made->rank[0][0] = 2;
    made->part.has_error = true;
    made->part.rel_error = 0.25;
    fixture_chunk(made, codec, LORT_ARRAY_ID(LORT_ARRAY_LEFT, 0), factors, 0, left, 32);
    fixture_chunk(made, codec, LORT_ARRAY_ID(LORT_ARRAY_RIGHT, 0), factors, 0, right, 60);
    assert_int_equal(part_code(&made->part, &p, &arena), LORT_OK);
    assert_true(p.terms[0].left == LORT_Q8_0 && p.terms[0].right == LORT_F16 &&
                p.terms[0].left_width == 34);
    assert_int_equal(p.chunks[0].decoded, 34);
    assert_int_equal(p.chunks[0].count, 32);
    made->chunks[0].count = 31; /* a block has 32 numbers, even if fewer are used */
    assert_int_equal(part_code(&made->part, &p, &arena), LORT_E_DAMAGED);
    lort_arena_free(&arena);
    lort_codec_close(codec);
    free(other);
}

static void unsound_parts_are_refused(void **state)
{
    (void)state;
    static const struct {
        uint32_t part;
        void (*spoil)(fixture_part *);
    } cases[] = {
        {2, rank_too_high},
        {3, slice_in_two_terms},
        {2, exponent_absurd},
        {2, error_is_nan},
        {2, error_is_negative},
        {2, error_is_infinite},
        {2, two_terms_alike},
        {2, factors_of_no_whole_blocks},
        {2, factors_of_trits},
        {2, factors_of_integers},
        {2, no_terms},
        {2, slices_of_nothing},
        {1, no_slices},
        {2, shape_too_small},
        {2, shape_negative},
        {2, shape_overflows},
        {1, shape_overflows_under_a_zero},
        {2, numbers_beyond_counting},
        {2, bytes_differ},
        {2, chunk_missing},
        {2, chunk_too_many},
        {2, chunk_elsewhere},
        {2, chunks_swapped},
        {1, chunks_swapped},
        {1, chunk_with_a_gap},
        {1, chunk_moved},
        {1, chunk_empty},
        {1, chunk_lies},
        {1, chunk_stores_nothing},
        {1, chunk_stores_too_much},
        {1, chunk_overruns},
        {1, payload_longer},
        {1, width_zero},
        {1, width_absurd},
        {1, rotated_by_three},
        {1, long_reason},
        {1, reason_not_text},
        {1, raw_part_with_name},
        {1, raw_slice_left_out},
        {1, raw_rank_two},
        {1, raw_with_error},
        {1, raw_of_another_type},
        {7, step_is_nan},
        {7, step_is_infinite},
        {7, step_is_zero},
        {7, step_is_negative},
        {7, step_where_none_is},
        {7, step_is_minus_zero},
        {7, integers_rank_two},
        {7, integers_of_floats},
        {7, integers_in_planes},
        {7, integers_rotated},
        {7, integers_and_raw},
        {7, raw_and_integers},
        {7, two_terms_of_integers},
        {7, integers_of_no_numbers},
        {7, codes_missing},
        {7, blocks_missing},
        {7, integers_without_chunks},
        {7, codes_too_few},
        {7, codes_of_other_size},
        {7, block_elsewhere},
        {7, block_of_no_array},
        {7, block_not_first},
        {7, block_too_small},
        {7, block_too_large},
        {7, block_decodes_to_too_much},
        {7, block_stores_too_much},
        {7, block_stores_nothing},
        {7, block_moved},
        {7, chunks_swapped},
        {7, chunk_missing},
        {7, payload_longer},
        {8, trits_too_few},
        {8, trits_too_many},
        {8, trits_rank_two},
        {8, trits_in_planes},
        {8, trits_rotated},
        {8, trits_of_floats},
        {8, scales_of_another_type},
        {8, trits_of_no_numbers},
        {8, trits_and_integers},
        {8, trits_and_raw},
        {8, two_terms_of_trits},
        {8, codes_missing},
        {8, blocks_missing},
        {8, integers_without_chunks},
        {8, codes_too_few},
        {8, codes_of_other_size},
        {8, block_elsewhere},
        {8, block_not_first},
        {8, block_too_small},
        {8, block_too_large},
        {8, block_stores_too_much},
        {8, block_stores_nothing},
        {8, block_moved},
        {8, chunk_missing},
        {8, payload_longer},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        lort_arena arena = {.alloc = &lort_alloc_heap};
        lort_part p;
        fixture_part c = fix.parts[cases[i].part];
        c.part.dims = c.dims;
        c.part.terms = c.terms;
        c.part.chunks = c.chunks;
        for (uint32_t k = 0; k < 3; k++) {
            c.terms[k].rank = c.rank[k];
            c.terms[k].exponent = c.terms[k].exponent ? c.exponent : NULL;
            c.terms[k].step = c.terms[k].step ? c.step : NULL;
        }
        assert_int_equal(part_code(&c.part, &p, &arena), LORT_OK);
        cases[i].spoil(&c);
        if (part_code(&c.part, &p, &arena) != LORT_E_DAMAGED)
            fail_msg("case %d", (int)i);
        lort_arena_free(&arena);
    }
}

/* Many blocks: each is one chunk, with the sizes and in the order of the grid. */
static void blocks_are_those_of_the_grid(void **state)
{
    (void)state;
    int64_t dims[] = {300, 9000};
    float step = 0.25f;
    uint32_t rank = 1;
    const lort_block_grid grid = lort_block_grid_of(dims[0], dims[1]);
    const uint64_t blocks = (uint64_t)(grid.down * grid.across);
    lort_term term = {.kind = LORT_TERM_INTEGERS,
                      .left = LORT_U8,
                      .right = LORT_U8,
                      .left_width = 1,
                      .right_width = 1,
                      .rank = &rank,
                      .step = &step};
    lort_chunk chunks[32] = {
        {.array = LORT_ARRAY_ID(LORT_ARRAY_CODES, 0), .stored = 5, .decoded = 9300, .count = 9300}};
    lort_part in = {.tensor = true,
                    .name = "w",
                    .name_bytes = 1,
                    .dtype = LORT_F16,
                    .n_dims = 2,
                    .dims = dims,
                    .slices = 1,
                    .source_bytes = 5400000,
                    .reason = "",
                    .terms = &term,
                    .term_count = 1,
                    .chunks = chunks,
                    .chunk_count = blocks + 1,
                    .payload_bytes = 5};
    assert_true(blocks > 4 && blocks < 32);
    assert_int_equal(grid.wide, 5120);
    assert_int_equal(grid.high, 64);
    uint64_t first = 0;
    for (uint64_t i = 0; i < blocks; i++) {
        const lort_block_place place = lort_block_get(&grid, (int64_t)i);
        const uint64_t count = (uint64_t)(place.rows * place.cols);
        chunks[i + 1] = (lort_chunk){.array = LORT_ARRAY_ID(LORT_ARRAY_BLOCKS, 0),
                                     .stored = 7,
                                     .decoded = (uint32_t)(LORT_BLOCK_HEAD_MAX + 4 * count),
                                     .offset = in.payload_bytes,
                                     .first = first,
                                     .count = count};
        in.payload_bytes += 7;
        first += count;
    }
    lort_part out;
    lort_arena arena = {.alloc = &lort_alloc_heap};
    assert_int_equal(part_code(&in, &out, &arena), LORT_OK);
    in.chunk_count--;
    in.payload_bytes -= 7;
    assert_int_equal(part_code(&in, &out, &arena), LORT_E_DAMAGED);
    in.chunk_count += 2;
    in.payload_bytes += 14;
    assert_int_equal(part_code(&in, &out, &arena), LORT_E_DAMAGED);
    in.chunk_count--;
    in.payload_bytes -= 7;
    chunks[1].count += chunks[2].count; /* two blocks in one chunk */
    assert_int_equal(part_code(&in, &out, &arena), LORT_E_DAMAGED);
    lort_arena_free(&arena);
}

/* Bodies that no writer writes: faults in single fields. */
static void bodies_with_odd_bytes_are_refused(void **state)
{
    (void)state;
    static const struct {
        uint32_t at;
        uint8_t value;
        lort_code code;
    } cases[] = {{8, 4, LORT_E_DAMAGED},     {11, 0x80, LORT_E_DAMAGED}, {12, 250, LORT_E_INPUT},
                 {12, 4, LORT_E_INPUT},      {84, 1, LORT_E_DAMAGED},    {16, 65, LORT_E_DAMAGED},
                 {79, 0xFF, LORT_E_DAMAGED}, {71, 0xFF, LORT_E_DAMAGED}, {75, 0xFF, LORT_E_DAMAGED},
                 {83, 0xFF, LORT_E_DAMAGED}, {23, 0xFF, LORT_E_DAMAGED}};
    lort_buffer body = {.alloc = &lort_alloc_heap};
    const lort_part *in = &fix.parts[1].part;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        lort_arena arena = {.alloc = &lort_alloc_heap};
        lort_part p;
        body.size = 0;
        lort_part_put(in, &body);
        body.data[cases[i].at] = cases[i].value;
        if (lort_part_get(body.data, body.size, &arena, &p, NULL) != cases[i].code)
            fail_msg("case %d", (int)i);
        lort_arena_free(&arena);
    }
    /* a term of a newer kind; an unknown flag; a byte too many; an extension, which is skipped */
    /* 88: the bytes of a PART body before the name. */
    const uint64_t term = 88 + in->name_bytes + strlen(in->reason) + 8 * in->n_dims;
    lort_arena arena = {.alloc = &lort_alloc_heap};
    lort_part p;
    body.size = 0;
    lort_part_put(in, &body);
    body.data[term] = LORT_TERM_INTEGERS + 1;
    assert_int_equal(lort_part_get(body.data, body.size, &arena, &p, NULL), LORT_E_INPUT);
    body.data[term] = LORT_TERM_INTEGERS; /* its arrays are missing */
    assert_int_equal(lort_part_get(body.data, body.size, &arena, &p, NULL), LORT_E_DAMAGED);
    body.data[term] = 0;
    body.data[term + 4] ^= 4;
    assert_int_equal(lort_part_get(body.data, body.size, &arena, &p, NULL), LORT_E_DAMAGED);
    body.data[term + 4] ^= 4;
    assert_int_equal(lort_part_get(body.data, body.size, &arena, &p, NULL), LORT_OK);
    lort_put_zeros(&body, 3);
    assert_int_equal(lort_part_get(body.data, body.size, &arena, &p, NULL), LORT_E_DAMAGED);
    lort_store_u32(body.data + body.size - 7, 3);
    assert_int_equal(lort_part_get(body.data, body.size, &arena, &p, NULL), LORT_OK);
    lort_arena_free(&arena);
    lort_buffer_free(&body);
}

static void every_prefix_of_a_body_is_refused(void **state)
{
    (void)state;
    lort_buffer body = {.alloc = &lort_alloc_heap};
    for (uint32_t i = 0; i < FIXTURE_PARTS + 2; i++) {
        body.size = 0;
        if (i < FIXTURE_PARTS)
            lort_part_put(&fix.parts[i].part, &body);
        else if (i == FIXTURE_PARTS)
            lort_model_record_put(&fix.model, &body);
        else
            lort_index_record_put(&fix.index, &body);
        for (uint64_t n = 0; n < body.size; n++) {
            lort_arena arena = {.alloc = &lort_alloc_heap};
            lort_part p;
            lort_model_record m;
            lort_index_record x;
            /* Exact size: a sanitizer sees a read behind the end. */
            uint8_t *exact = malloc(n ? n : 1);
            memcpy(exact, body.data, n);
            lort_code code = i < FIXTURE_PARTS ? lort_part_get(exact, n, &arena, &p, NULL)
                             : i == FIXTURE_PARTS
                                 ? lort_model_record_get(exact, n, &arena, &m, NULL)
                                 : lort_index_record_get(exact, n, &arena, &x, NULL);
            assert_int_equal(code, LORT_E_DAMAGED);
            free(exact);
            lort_arena_free(&arena);
        }
    }
    lort_buffer_free(&body);
}

/* ---- INDEX ---- */

static void indexes_come_back_in_order_only(void **state)
{
    (void)state;
    static const struct {
        lort_index_entry entries[2];
        lort_code code;
    } cases[] = {
        {{{72, 40}, {112, 50}}, LORT_OK},
        {{{72, 40}, {111, 50}}, LORT_E_DAMAGED},
        {{{71, 40}, {112, 50}}, LORT_E_DAMAGED},
        {{{72, 39}, {112, 50}}, LORT_E_DAMAGED},
        {{{200, 40}, {100, 50}}, LORT_E_DAMAGED},
        {{{72, 40}, {UINT64_MAX, 50}}, LORT_E_DAMAGED},
        {{{72, UINT64_MAX}, {72, 50}}, LORT_E_DAMAGED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        lort_buffer body = {.alloc = &lort_alloc_heap};
        lort_arena arena = {.alloc = &lort_alloc_heap};
        lort_index_entry entries[2] = {cases[i].entries[0], cases[i].entries[1]};
        lort_index_record in = {entries, 2, {{9}}}, out;
        lort_index_record_put(&in, &body);
        assert_int_equal(lort_index_record_get(body.data, body.size, &arena, &out, NULL),
                         cases[i].code);
        if (cases[i].code == LORT_OK) {
            assert_memory_equal(out.entries, entries, sizeof entries);
            assert_int_equal(out.model.bytes[0], 9);
            lort_put_u8(&body, 0);
            assert_int_equal(lort_index_record_get(body.data, body.size, &arena, &out, NULL),
                             LORT_E_DAMAGED);
        }
        lort_arena_free(&arena);
        lort_buffer_free(&body);
    }
}

/* A count that no file can have must not make LoRT take memory for it. */
static uint64_t largest_take;
static void *counting_take(void *ctx, size_t bytes)
{
    (void)ctx;
    largest_take = bytes > largest_take ? bytes : largest_take;
    return lort_alloc_heap.take(NULL, bytes);
}

static void absurd_counts_take_no_memory(void **state)
{
    (void)state;
    const lort_alloc alloc = {counting_take, lort_alloc_heap.give, NULL};
    lort_arena arena = {.alloc = &alloc};
    lort_buffer body = {.alloc = &lort_alloc_heap};
    lort_model_record m;
    lort_index_record x;
    lort_part p;
    lort_index_record_put(&fix.index, &body);
    lort_store_u64(body.data, UINT64_C(1) << 60);
    assert_int_equal(lort_index_record_get(body.data, body.size, &arena, &x, NULL), LORT_E_DAMAGED);
    for (unsigned at = 16; at <= 24; at += 8) {
        body.size = 0;
        lort_model_record_put(&fix.model, &body);
        lort_store_u32(body.data + at, 0xFFFFFFFF);
        assert_int_equal(lort_model_record_get(body.data, body.size, &arena, &m, NULL),
                         LORT_E_DAMAGED);
    }
    static const unsigned fields[] = {16, 20, 64, 72, 76, 80};
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        body.size = 0;
        lort_part_put(&fix.parts[3].part, &body);
        lort_store_u32(body.data + fields[i], 0x00FFFFFF);
        assert_int_equal(lort_part_get(body.data, body.size, &arena, &p, NULL), LORT_E_DAMAGED);
    }
    assert_true(largest_take <= 1 << 18);
    lort_arena_free(&arena);
    lort_buffer_free(&body);
}

static int allocations_left;
static void *failing_take(void *ctx, size_t bytes)
{
    (void)ctx;
    return allocations_left-- > 0 ? lort_alloc_heap.take(NULL, bytes) : NULL;
}

static void every_failed_allocation_is_clean(void **state)
{
    (void)state;
    const lort_alloc alloc = {failing_take, lort_alloc_heap.give, NULL};
    lort_buffer body = {.alloc = &lort_alloc_heap};
    lort_part_put(&fix.parts[3].part, &body);
    lort_code code = LORT_E_MEMORY;
    for (int n = 0; code == LORT_E_MEMORY; n++) {
        lort_arena arena = {.alloc = &alloc};
        lort_buffer out = {.alloc = &alloc};
        lort_frame frame = {.kind = LORT_FRAME_PART,
                            .pieces = 1,
                            .decoded = body.size,
                            .body = body.data,
                            .body_bytes = body.size};
        lort_part p;
        allocations_left = n;
        code = lort_part_get(body.data, body.size, &arena, &p, NULL);
        lort_frame_put(&frame, &out);
        if (code == LORT_OK)
            code = lort_buffer_check(&out, NULL);
        lort_buffer_free(&out);
        lort_arena_free(&arena);
        assert_true(n < 100);
    }
    assert_int_equal(code, LORT_OK);
    lort_buffer_free(&body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_come_back),
        cmocka_unit_test(frames_that_contradict_themselves),
        cmocka_unit_test(reserved_bits_of_a_frame_are_zero),
        cmocka_unit_test(head_and_footer_come_back),
        cmocka_unit_test(models_come_back),
        cmocka_unit_test(files_have_paths),
        cmocka_unit_test(unsound_models_are_refused),
        cmocka_unit_test(empty_things_are_allowed),
        cmocka_unit_test(scales_are_in_the_codes),
        cmocka_unit_test(steps_have_their_limits),
        cmocka_unit_test(outliers_come_back),
        cmocka_unit_test(unsound_outliers_are_refused),
        cmocka_unit_test(elements_are_bounded),
        cmocka_unit_test(opaque_parts),
        cmocka_unit_test(parts_come_back),
        cmocka_unit_test(a_part_must_be_its_extent),
        cmocka_unit_test(shapes_of_slices),
        cmocka_unit_test(factors_may_be_blocks),
        cmocka_unit_test(unsound_parts_are_refused),
        cmocka_unit_test(blocks_are_those_of_the_grid),
        cmocka_unit_test(bodies_with_odd_bytes_are_refused),
        cmocka_unit_test(every_prefix_of_a_body_is_refused),
        cmocka_unit_test(a_convolution_is_one_matrix),
        cmocka_unit_test(a_part_shares_what_an_earlier_one_stores),
        cmocka_unit_test(a_part_that_shares_has_nothing_of_its_own),
        cmocka_unit_test(only_equal_tensors_share),
        cmocka_unit_test(indexes_come_back_in_order_only),
        cmocka_unit_test(absurd_counts_take_no_memory),
        cmocka_unit_test(every_failed_allocation_is_clean),
    };
    return run_chosen(tests, set_up, tear_down);
}
