/* Tests of new GGUF headers: keys that are set, added and left out; several origins; places of the
 * tensors; what is refused; every allocation failing. The parser reads what was made. */
#include "formats/base/text.h"
#include "formats/outputs/gguf_new.h"
#include "tests/unit/main.h"
#include "tests/unit/malformed.h"

#define MOST 8 /* tensors and origins of a test */

/* Origins, their parsed headers, and what is made of them. */
typedef struct scene {
    lort_buffer source[MOST];
    lort_header header[MOST];
    lort_gguf_origin origins[MOST];
    const lort_tensor *tensors[MOST];
    const lort_dtype_info *types[MOST];
    lort_gguf_plan plan;
    lort_buffer out;
    uint64_t offsets[MOST], file_size;
    lort_header made;
} scene;

/* Parses one more origin and appends its tensors to the plan, in their own types. */
static void add_origin(scene *s, lort_buffer source)
{
    const uint32_t n = s->plan.origin_count++;
    s->source[n] = source;
    s->header[n] = accept(&source);
    s->origins[n] = (lort_gguf_origin){&s->header[n], s->source[n].data};
    for (uint64_t i = 0; i < s->header[n].index.count; i++) {
        s->tensors[s->plan.count] = &s->header[n].index.tensors[i];
        s->types[s->plan.count++] = s->header[n].index.tensors[i].type;
    }
    s->plan.origins = s->origins;
    s->plan.tensors = s->tensors;
    s->plan.types = s->types;
    s->out.alloc = &lort_alloc_heap;
}

static void make(scene *s, const lort_gguf_change *changes, uint32_t count)
{
    lort_error err = {0};
    uint64_t wanted;
    s->plan.changes = changes;
    s->plan.change_count = count;
    if (lort_gguf_make(&s->plan, &lort_alloc_heap, &s->out, s->offsets, &s->file_size, &err))
        fail_msg("refused: %s", err.message);
    if (lort_format_gguf.parse(s->out.data, s->out.size, s->file_size, &lort_alloc_heap, &s->made,
                               &wanted, &err))
        fail_msg("what was made is refused: %s", err.message);
    assert_int_equal(s->made.header_bytes, s->out.size);
    assert_int_equal(s->made.version, 3);
    assert_int_equal(s->made.gaps, 0);
    assert_int_equal(s->made.index.count, s->plan.count);
    for (uint64_t i = 0; i < s->plan.count; i++) {
        const lort_tensor *was = s->tensors[i];
        const lort_tensor *t = lort_index_find(&s->made.index, was->name, was->name_bytes);
        assert_non_null(t);
        assert_int_equal(t->offset, s->offsets[i]);
        assert_int_equal(t->type->id, s->types[i]->id);
        assert_int_equal(t->n_dims, was->n_dims);
        assert_memory_equal(t->dims, was->dims, was->n_dims * sizeof *was->dims);
    }
}

static void end(scene *s)
{
    for (uint32_t i = 0; i < s->plan.origin_count; i++) {
        lort_header_free(&s->header[i]);
        lort_buffer_free(&s->source[i]);
    }
    lort_header_free(&s->made);
    lort_buffer_free(&s->out);
}

/* The keys of what was made, with a blank behind each. */
static const char *keys_of(const scene *s)
{
    static char text[400];
    size_t at = 0;
    *text = '\0';
    for (uint64_t i = 0; i < s->made.kv_count && at < sizeof text; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "%s ", s->made.kv[i].key);
    return text;
}

static uint64_t number_at(const scene *s, uint64_t i)
{
    assert_int_equal(s->made.kv[i].kind, LORT_KV_U64);
    assert_string_equal(s->made.kv[i].type, "uint32");
    return s->made.kv[i].v.u;
}

static const uint64_t rows_64[] = {64, 3}, rows_32[] = {32, 2};

/* Three keys, and two tensors of 768 and 256 bytes. */
static lort_buffer simple(uint32_t version)
{
    lort_buffer b = new_buffer();
    put_head(&b, version, 2, 3);
    put_kv_text(&b, "general.architecture", "llama");
    put_kv_u32(&b, "general.file_type", 1);
    put_kv_text(&b, "last", "x");
    put_info(&b, "a.weight", 2, rows_64, LORT_F32, 0);
    put_info(&b, "b.weight", 2, rows_32, LORT_F32, 768);
    put_data(&b, 32, 1024);
    return b;
}

static void nothing_changes(void **state)
{
    for (uint32_t version = 2; version <= 3; version++) {
        scene s = {0};
        add_origin(&s, simple(version));
        make(&s, NULL, 0);
        assert_int_equal(s.file_size, s.source[0].size);
        s.source[0].data[4] = 3;
        assert_memory_equal(s.out.data, s.source[0].data, s.out.size);
        end(&s);
    }
}

static void keys_are_set_in_place_or_behind(void **state)
{
    const lort_gguf_change changes[] = {
        {.key = "new.number", .action = LORT_GGUF_SET_U32, .u32 = UINT32_MAX},
        {.key = "general.file_type", .action = LORT_GGUF_SET_U32, .u32 = 15},
        {.key = "new.text", .action = LORT_GGUF_SET_TEXT, .text = ""},
        {.key = "general.architecture", .action = LORT_GGUF_SET_TEXT, .text = "gpt\xc3\xa9"},
        {.key = "no.such", .action = LORT_GGUF_DROP}};
    scene s = {0};
    add_origin(&s, simple(3));
    make(&s, changes, 5);
    assert_string_equal(keys_of(&s),
                        "general.architecture general.file_type last new.number new.text ");
    assert_string_equal(s.made.kv[0].text_copy, "gpt\xc3\xa9");
    assert_int_equal(number_at(&s, 1), 15);
    assert_string_equal(s.made.kv[2].text_copy, "x");
    assert_int_equal(number_at(&s, 3), UINT32_MAX);
    assert_string_equal(s.made.kv[4].text_copy, "");
    end(&s);
}

static void a_key_of_another_type_is_replaced(void **state)
{
    const lort_gguf_change changes[] = {
        {.key = "last", .action = LORT_GGUF_SET_U32, .u32 = 7},
        {.key = "general.file_type", .action = LORT_GGUF_SET_TEXT, .text = "seven"}};
    scene s = {0};
    add_origin(&s, simple(3));
    make(&s, changes, 2);
    assert_string_equal(keys_of(&s), "general.architecture general.file_type last ");
    assert_string_equal(s.made.kv[1].text_copy, "seven");
    assert_int_equal(number_at(&s, 2), 7);
    end(&s);
}

static lort_buffer keyed(const char *const *keys, uint32_t count)
{
    lort_buffer b = new_buffer();
    put_head(&b, 3, 0, count);
    for (uint32_t i = 0; i < count; i++)
        put_kv_u32(&b, keys[i], i);
    put_data(&b, 32, 0);
    return b;
}

static void keys_are_left_out(void **state)
{
    static const char *const keys[] = {"split.nox", "a",      "split", "splitter",
                                       "a.b",       "split.", "ab"};
    const lort_gguf_change changes[] = {{.key = "split.", .action = LORT_GGUF_DROP_PREFIX},
                                        {.key = "a", .action = LORT_GGUF_DROP}};
    scene s = {0};
    add_origin(&s, keyed(keys, 7));
    make(&s, changes, 2);
    assert_string_equal(keys_of(&s), "split splitter a.b ab ");
    end(&s);
}

static void the_first_origin_with_a_key_counts(void **state)
{
    static const char *const first[] = {"x", "y"}, *const second[] = {"z", "y", "drop", "x", "w"};
    const lort_gguf_change changes[] = {{.key = "drop", .action = LORT_GGUF_DROP},
                                        {.key = "w", .action = LORT_GGUF_SET_U32, .u32 = 99}};
    scene s = {0};
    add_origin(&s, keyed(first, 2));
    add_origin(&s, keyed(second, 5));
    make(&s, changes, 2);
    assert_string_equal(keys_of(&s), "x y z w ");
    assert_int_equal(number_at(&s, 0), 0);
    assert_int_equal(number_at(&s, 1), 1);
    assert_int_equal(number_at(&s, 2), 0);
    assert_int_equal(number_at(&s, 3), 99);
    end(&s);
}

static void tensors_are_placed_by_type_and_alignment(void **state)
{
    static const struct {
        lort_dtype first, second;
        uint64_t first_bytes, second_bytes;
    } rows[] = {{LORT_Q8_0, LORT_F32, 6 * 34, 256},
                {LORT_F16, LORT_Q4_0, 384, 36},
                {LORT_Q5_1, LORT_Q5_0, 6 * 24, 44},
                {LORT_BF16, LORT_IQ4_NL, 384, 36}};
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++)
        for (uint64_t alignment = 8; alignment <= 4096; alignment *= 8) {
            scene s = {0};
            lort_buffer b = new_buffer();
            put_head(&b, 3, 2, 1);
            put_kv_u32(&b, "general.alignment", (uint32_t)alignment);
            put_info(&b, "a.weight", 2, rows_64, LORT_F32, 0);
            const uint64_t second = (768 + alignment - 1) / alignment * alignment;
            put_info(&b, "b.weight", 2, rows_32, LORT_F32, second);
            put_data(&b, alignment, second + 256);
            add_origin(&s, b);
            s.types[0] = lort_dtype_get(rows[i].first);
            s.types[1] = lort_dtype_get(rows[i].second);
            make(&s, NULL, 0);
            assert_int_equal(s.out.size % alignment, 0);
            assert_int_equal(s.offsets[0], s.out.size);
            const uint64_t next =
                (s.offsets[0] + rows[i].first_bytes + alignment - 1) / alignment * alignment;
            assert_int_equal(s.offsets[1], next);
            assert_int_equal(s.file_size,
                             (next + rows[i].second_bytes + alignment - 1) / alignment * alignment);
            end(&s);
        }
}

static void nothing_follows_an_opaque_tensor_at_the_end(void **state)
{
    static const uint64_t odd[] = {5};
    lort_buffer b = new_buffer();
    scene s = {0};
    put_head(&b, 3, 2, 0);
    put_info(&b, "a", 2, rows_64, LORT_F32, 0);
    put_info(&b, "b", 1, odd, 156, 768);
    put_data(&b, 32, 768 + 45);
    add_origin(&s, b);
    make(&s, NULL, 0);
    assert_int_equal(s.file_size, s.offsets[1] + 45);
    end(&s);
}

static void strings_of_version_1_are_written_anew(void **state)
{
    static const char *const words[] = {"one", "", "three"};
    lort_buffer b = new_buffer();
    scene s = {0};
    lort_put_bytes(&b, "GGUF", 4);
    lort_put_u32(&b, 1);
    lort_put_u32(&b, 0);
    lort_put_u32(&b, 2);
    lort_put_u32(&b, 5);
    lort_put_bytes(&b, "words", 5);
    lort_put_u32(&b, 9);
    lort_put_u32(&b, 8);
    lort_put_u32(&b, 3);
    for (int i = 0; i < 3; i++) {
        lort_put_u32(&b, (uint32_t)strlen(words[i]));
        lort_put_bytes(&b, words[i], strlen(words[i]));
    }
    lort_put_u32(&b, 4);
    lort_put_bytes(&b, "text", 4);
    lort_put_u32(&b, 8);
    lort_put_u32(&b, 2);
    lort_put_bytes(&b, "ab", 2);
    put_data(&b, 32, 0);
    add_origin(&s, b);
    make(&s, NULL, 0);
    assert_string_equal(keys_of(&s), "words text ");
    assert_int_equal(s.made.kv[0].v.array.count, 3);
    assert_string_equal(s.made.kv[0].type, "string");
    assert_string_equal(s.made.kv[1].text_copy, "ab");
    const uint8_t *at = s.out.data + s.made.kv[0].v.array.at;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(lort_load_u64(at), strlen(words[i]));
        assert_memory_equal(at + 8, words[i], strlen(words[i]));
        at += 8 + strlen(words[i]);
    }
    end(&s);
}

static void types_that_do_not_fit_are_refused(void **state)
{
    lort_error err = {0};
    scene s = {0};
    add_origin(&s, simple(3));
    s.types[0] = lort_dtype_get(LORT_Q4_K); /* rows of 64 */
    assert_int_equal(
        lort_gguf_make(&s.plan, &lort_alloc_heap, &s.out, s.offsets, &s.file_size, &err),
        LORT_E_USAGE);
    assert_non_null(strstr(err.message, "'a.weight'"));
    assert_non_null(strstr(err.message, "Q4_K"));
    assert_int_equal(s.file_size, 0);
    assert_int_equal(
        lort_gguf_make(&s.plan, &lort_alloc_heap, &s.out, s.offsets, &s.file_size, NULL),
        LORT_E_USAGE);
    end(&s);
}

static void every_allocation_may_fail(void **state)
{
    static const char *const more[] = {"p", "q"};
    const lort_gguf_change changes[] = {{.key = "new", .action = LORT_GGUF_SET_U32, .u32 = 1},
                                        {.key = "last", .action = LORT_GGUF_DROP}};
    scene s = {0};
    lort_code code = LORT_E_MEMORY;
    uint64_t n = 0;
    add_origin(&s, simple(3));
    add_origin(&s, keyed(more, 2));
    s.plan.changes = changes;
    s.plan.change_count = 2;
    while (code) {
        failing counts = {.fail_at = ++n};
        lort_alloc alloc = FAILING_ALLOC(counts);
        lort_buffer out = {.alloc = &alloc};
        lort_error err = {0};
        code = lort_gguf_make(&s.plan, &alloc, &out, s.offsets, &s.file_size, &err);
        assert_true(code == LORT_OK || (code == LORT_E_MEMORY && err.code == code));
        assert_true(code == LORT_OK || s.file_size == 0);
        lort_buffer_free(&out);
        assert_int_equal(counts.out_blocks, 0);
    }
    assert_true(n > 2);
    end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_changes),
        cmocka_unit_test(keys_are_set_in_place_or_behind),
        cmocka_unit_test(a_key_of_another_type_is_replaced),
        cmocka_unit_test(keys_are_left_out),
        cmocka_unit_test(the_first_origin_with_a_key_counts),
        cmocka_unit_test(tensors_are_placed_by_type_and_alignment),
        cmocka_unit_test(nothing_follows_an_opaque_tensor_at_the_end),
        cmocka_unit_test(strings_of_version_1_are_written_anew),
        cmocka_unit_test(types_that_do_not_fit_are_refused),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return run_chosen(tests, NULL, NULL);
}
