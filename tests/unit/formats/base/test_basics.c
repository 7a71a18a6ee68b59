/* Tests of the small modules that all others use: error, bytes, alloc, hash, names, layout. */
#include "tests/unit/main.h"
#include "tests/unit/malformed.h"

#include "formats/base/hash.h"
#include "formats/base/names.h"
#include "formats/base/sort.h"
#include "formats/base/text.h"
#include "formats/types/layout.h"
#include <string.h>

/* ---- error ---- */

typedef struct escape_case {
    const char *bytes, *shown;
} escape_case;

static void escapes_show_what_is_there(void **state)
{
    static const escape_case cases[] = {
        {"plain", "plain"},
        {"", ""},
        {"back\\slash", "back\\x5Cslash"},
        {"\033[31mred", "\\x1B[31mred"},
        {"tab\tnew\nline", "tab\\x09new\\x0Aline"},
        {"\x7F", "\\x7F"},
        {"gr\xC3\xBC\xC3\x9F", "gr\xC3\xBC\xC3\x9F"},
        {"\xC2\x9B", "\\xC2\\x9B"}, /* the CSI of 8-bit terminals */
        {"\xC3", "\\xC3"},
        {"\xC0\xAF", "\\xC0\\xAF"},          /* overlong slash */
        {"\xED\xA0\x80", "\\xED\\xA0\\x80"}, /* a surrogate */
        {"\xF0\x9F\x98\x80", "\xF0\x9F\x98\x80"},
        {"\xF4\x90\x80\x80", "\\xF4\\x90\\x80\\x80"}, /* beyond U+10FFFF */
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char out[64];
        assert_string_equal(lort_escape_text(out, sizeof out, cases[i].bytes), cases[i].shown);
    }
}

/* In any space the result has a NUL and no broken character. Dots show that something is
 * missing. */
static void escapes_fit_any_room(void **state)
{
    const char text[] = "ab\033cd\xC3\xBC\xF0\x9F\x98\x80zz";
    (void)state;
    for (size_t cap = 1; cap < 40; cap++) {
        char *out = malloc(cap); /* exact size: a sanitizer sees one byte too many */
        assert_non_null(out);
        lort_escape(out, cap, text, sizeof text - 1);
        size_t n = strlen(out);
        assert_true(n < cap);
        assert_true(lort_utf8_valid(out, n));
        bool whole = strcmp(out, "ab\\x1Bcd\xC3\xBC\xF0\x9F\x98\x80zz") == 0;
        assert_true(whole || cap < 16 + 1 + 3); /* 16 bytes, a NUL, space for the dots */
        if (!whole)
            assert_memory_equal(out + n - (n < 3 ? n : 3), "...", n < 3 ? n : 3);
        free(out);
    }
}

static void prefixes_go_before_and_the_end_is_cut(void **state)
{
    lort_error err;
    (void)state;
    assert_int_equal(lort_fail(&err, LORT_E_INPUT, "value %d", 7), LORT_E_INPUT);
    assert_int_equal(lort_error_prefix(&err, "tensor '%s'", "a"), LORT_E_INPUT);
    assert_int_equal(lort_error_prefix(&err, "file"), LORT_E_INPUT);
    assert_string_equal(err.message, "file: tensor 'a': value 7");
    for (int i = 0; i < 400; i++)
        lort_error_prefix(&err, "deep");
    assert_int_equal(strlen(err.message), sizeof err.message - 1);
    assert_int_equal(strncmp(err.message, "deep: deep: ", 12), 0);
    assert_int_equal(lort_fail(NULL, LORT_E_READ, "unheard"), LORT_E_READ);
    assert_int_equal(lort_error_prefix(NULL, "unheard"), LORT_E_INTERNAL);
}

/* ---- bytes ---- */

static void files_and_tensors_are_noted_once(void **state)
{
    lort_error err = {0};
    lort_error_file(&err, "nothing failed");
    assert_string_equal(err.file, "");
    lort_fail(&err, LORT_E_INPUT, "broken");
    lort_error_file(&err, "a\n.gguf");
    lort_error_file(&err, "farther");
    lort_error_tensor(&err, "w\xff", 2);
    assert_string_equal(err.file, "a\\x0A.gguf");
    assert_string_equal(err.tensor, "w\\xFF");
    lort_error_inside(&err, "d/", 2);
    lort_error_inside(&err, "e", 1); /* it has its directory */
    assert_string_equal(err.file, "d/a\\x0A.gguf");
    lort_fail(&err, LORT_E_READ, "another failure");
    assert_true(!*err.file && !*err.tensor);
    lort_error_file(NULL, "x");
    lort_error_tensor(NULL, "x", 1);
    lort_error_inside(NULL, "x", 1);
    assert_int_equal(lort_error_path(NULL, "x"), LORT_E_INTERNAL);
}

static void a_path_stands_once_in_a_message(void **state)
{
    static const char *const cases[][3] = {
        {"broken", "m", "m: broken"},
        {"m: broken", "m", "m: broken"},
        {"m/a.gguf: broken", "m", "m/a.gguf: broken"},
        {"cannot open 'm': no", "m", "cannot open 'm': no"},
        {"cannot open 'm/x': no", "m", "cannot open 'm/x': no"},
        {"more is missing", "m", "m: more is missing"},
        {"cannot open 'mm': no", "m", "m: cannot open 'mm': no"},
        {"it's 'a\\x0A'", "a\n", "it's 'a\\x0A'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lort_error err;
        lort_fail(&err, LORT_E_INPUT, "%s", cases[i][0]);
        assert_int_equal(lort_error_path(&err, cases[i][1]), LORT_E_INPUT);
        assert_string_equal(err.message, cases[i][2]);
    }
}

static void every_code_has_a_name(void **state)
{
    assert_string_equal(lort_code_name(LORT_OK), "");
    assert_string_equal(lort_code_name(LORT_E_USAGE), "usage");
    assert_string_equal(lort_code_name(LORT_E_STOPPED), "stopped");
    assert_string_equal(lort_code_name((lort_code)63), "internal");
}

static void arithmetic_says_no_before_it_wraps(void **state)
{
    uint64_t out = 42;
    (void)state;
    assert_false(lort_add_u64(UINT64_MAX, 1, &out));
    assert_false(lort_mul_u64(1ull << 32, 1ull << 32, &out));
    assert_false(lort_align_up(UINT64_MAX - 6, 8, &out));
    assert_int_equal(out, 42);
    assert_true(lort_add_u64(UINT64_MAX - 1, 1, &out) && out == UINT64_MAX);
    assert_true(lort_mul_u64(0, UINT64_MAX, &out) && out == 0);
    assert_true(lort_mul_u64(UINT32_MAX, UINT32_MAX, &out) &&
                out == UINT64_MAX - 2 * (uint64_t)UINT32_MAX);
    assert_true(lort_align_up(UINT64_MAX - 7, 8, &out) && out == UINT64_MAX - 7);
    assert_true(lort_align_up(33, 32, &out) && out == 64);
    assert_true(lort_align_up(0, 32, &out) && out == 0);
}

static void cursor_reads_little_endian_at_any_address(void **state)
{
    const uint8_t bytes[] = {9, 1, 2, 0xFF, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 0x80};
    lort_cursor c = lort_cursor_make(bytes, sizeof bytes, sizeof bytes, LORT_E_INPUT, NULL);
    (void)state;
    assert_int_equal(lort_get_u8(&c, "a"), 9);
    assert_int_equal(lort_get_u16(&c, "b"), 0x0201);
    assert_int_equal(lort_get_u32(&c, "c"), 0x060504FF);
    assert_true(lort_get_u64(&c, "d") == 0x0605040302010807);
    assert_int_equal(c.at, 15);
    assert_int_equal(c.code, LORT_OK);
}

static void cursor_keeps_its_first_failure(void **state)
{
    const uint8_t bytes[6] = {1, 2, 3, 4, 5, 6};
    lort_error err = {0};
    lort_cursor c = lort_cursor_make(bytes, sizeof bytes, sizeof bytes, LORT_E_DAMAGED, &err);
    (void)state;
    lort_get_u32(&c, "count");
    assert_int_equal(lort_get_u32(&c, "size"), 0);
    assert_int_equal(c.code, LORT_E_DAMAGED);
    assert_string_equal(err.message,
                        "truncated: size needs 4 bytes at offset 4, the file ends at 6");
    assert_int_equal(lort_get_u8(&c, "later"), 0); /* enough bytes, but the failure stays */
    assert_int_equal(lort_cursor_fail(&c, "other"), LORT_E_DAMAGED);
    assert_non_null(strstr(err.message, "size needs 4 bytes"));
    assert_int_equal(c.wanted, 0);
}

static void cursor_asks_for_more_of_a_longer_file(void **state)
{
    const uint8_t bytes[6] = {0};
    lort_error err;
    lort_cursor c = lort_cursor_make(bytes, sizeof bytes, 100, LORT_E_INPUT, &err);
    (void)state;
    lort_get_u32(&c, "count");
    assert_null(lort_get_bytes(&c, 50, "names"));
    assert_int_equal(c.wanted, 54);
    c = lort_cursor_make(bytes, sizeof bytes, 100, LORT_E_INPUT, &err);
    assert_null(lort_get_bytes(&c, UINT64_MAX, "names"));
    assert_int_equal(c.wanted, 0); /* a file of 100 bytes cannot have them */
}

/* ---- alloc ---- */

static void arenas_give_zeroed_aligned_blocks_of_any_size(void **state)
{
    failing counted = {0};
    const lort_alloc alloc = FAILING_ALLOC(counted);
    lort_arena arena = {.alloc = &alloc};
    (void)state;
    for (uint64_t n = 0; n < 200000; n = n * 3 + 1) {
        void *memory;
        assert_int_equal(lort_arena_take(&arena, n, &memory, NULL), LORT_OK);
        assert_int_equal((uintptr_t)memory % 16, 0);
        for (uint64_t i = 0; i < n; i++)
            assert_int_equal(((uint8_t *)memory)[i], 0);
        memset(memory, 0xAA, (size_t)n);
    }
    lort_arena_free(&arena);
    assert_int_equal(counted.out_blocks, 0);
    assert_int_equal(counted.out_bytes, 0);
}

static void absurd_sizes_are_no_memory_and_no_overflow(void **state)
{
    lort_arena arena = {.alloc = &lort_alloc_heap};
    lort_error err;
    void *memory;
    (void)state;
    for (uint64_t n = UINT64_MAX; n > UINT64_MAX - 80; n--) {
        assert_int_equal(lort_take(&lort_alloc_heap, n, "it", &memory, &err), LORT_E_MEMORY);
        assert_null(memory);
        assert_int_equal(lort_arena_take(&arena, n, &memory, &err), LORT_E_MEMORY);
        assert_null(memory);
    }
    lort_arena_free(&arena);
}

static void buffers_grow_and_their_first_failure_sticks(void **state)
{
    (void)state;
    for (uint64_t n = 0;; n++) {
        failing f = {.fail_at = n};
        const lort_alloc alloc = FAILING_ALLOC(f);
        lort_buffer b = {.alloc = &alloc};
        for (unsigned i = 0; i < 3000; i++)
            lort_put_text(&b, "%u,", i % 10);
        lort_put_u16(&b, 0x0201);
        lort_error err = {0};
        lort_code code = lort_buffer_check(&b, &err);
        if (code == LORT_OK) {
            assert_int_equal(b.size, 6002);
            assert_memory_equal(b.data, "0,1,2,3,", 8);
            assert_memory_equal(b.data + 5998, "9,\1\2", 4);
        } else {
            assert_int_equal(code, LORT_E_MEMORY);
            assert_non_null(strstr(err.message, "a buffer"));
        }
        lort_buffer_free(&b);
        assert_int_equal(f.out_blocks, 0);
        if (n > 0 && code == LORT_OK)
            break;
        assert_true(n < 10);
    }
}

/* ---- hash ---- */

/* Values for the empty input, from xxhsum, the command of xxHash 0.8. */
static void hashes_are_those_of_xxhsum(void **state)
{
    static const uint8_t empty128[16] = {0x99, 0xaa, 0x06, 0xd3, 0x01, 0x47, 0x98, 0xd8,
                                         0x60, 0x01, 0xc3, 0x24, 0x46, 0x8d, 0x49, 0x7f};
    (void)state;
    assert_true(lort_xxh64("", 0) == 0xef46db3751d8e999);
    assert_true(lort_xxh3_64("", 0) == 0x2d06800538d394c2);
    assert_memory_equal(lort_xxh128("", 0).bytes, empty128, 16);
}

static void hashing_in_pieces_is_hashing_at_once(void **state)
{
    static uint8_t bytes[5000];
    lort_hasher *hasher;
    (void)state;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * i >> 3);
    const lort_hash128 whole = lort_xxh128(bytes, sizeof bytes);
    for (size_t piece = 1; piece < sizeof bytes; piece = piece * 3 + 1) {
        assert_int_equal(lort_hasher_open(&lort_alloc_heap, &hasher, NULL), LORT_OK);
        for (size_t at = 0; at < sizeof bytes; at += piece)
            lort_hasher_add(hasher, bytes + at,
                            sizeof bytes - at < piece ? sizeof bytes - at : piece);
        const lort_hash128 value = lort_hasher_value(hasher);
        assert_memory_equal(value.bytes, whole.bytes, 16);
        lort_hasher_close(hasher);
    }
    lort_hasher_close(NULL);
}

/* ---- names, layout ---- */

static void names_are_found_again_among_many(void **state)
{
    enum { MANY = 20000 };
    static char text[MANY][8];
    lort_names names = {.alloc = &lort_alloc_heap};
    uint32_t found;
    bool is_new;
    (void)state;
    for (uint32_t i = 0; i < MANY; i++) {
        snprintf(text[i], sizeof text[i], "t%u", i);
        assert_int_equal(
            lort_names_add(&names, text[i], (uint32_t)strlen(text[i]), i, &is_new, &found, NULL),
            LORT_OK);
        assert_true(is_new);
    }
    for (uint32_t i = 0; i < MANY; i++) {
        assert_int_equal(
            lort_names_add(&names, text[i], (uint32_t)strlen(text[i]), MANY, &is_new, &found, NULL),
            LORT_OK);
        assert_false(is_new);
        assert_int_equal(found, i);
    }
    assert_null(lort_names_find(&names, "t", 1));
    assert_int_equal(lort_names_find(&names, "t77", 3)->value, 77);
    lort_names_free(&names);
}

static void tensors_are_sorted_by_place_and_empty_ones_first(void **state)
{
    lort_tensor t[] = {{.name = "c", .offset = 8, .bytes = 4},
                       {.name = "b", .offset = 0, .bytes = 8},
                       {.name = "empty", .offset = 8, .bytes = 0},
                       {.name = "empty too", .offset = 8, .bytes = 0}};
    (void)state;
    failing f = {.fail_at = 1};
    const lort_alloc alloc = FAILING_ALLOC(f);
    assert_int_equal(lort_layout_sort(t, 4, &alloc, NULL), LORT_E_MEMORY);
    assert_int_equal(lort_layout_sort(t, 4, &lort_alloc_heap, NULL), LORT_OK);
    assert_string_equal(t[0].name, "b");
    assert_string_equal(t[1].name, "empty");
    assert_string_equal(t[2].name, "empty too");
    assert_string_equal(t[3].name, "c");
}

static void element_counts_are_checked(void **state)
{
    uint64_t n;
    (void)state;
    assert_true(lort_layout_elements((const int64_t[]){3, 5}, 2, &n) && n == 15);
    assert_true(lort_layout_elements(NULL, 0, &n) && n == 1);
    assert_true(lort_layout_elements((const int64_t[]){0, 7}, 2, &n) && n == 0);
    assert_false(lort_layout_elements((const int64_t[]){INT64_MAX, 2}, 2, &n));
    /* A zero does not hide the overflow of the other dims. */
    assert_false(lort_layout_elements((const int64_t[]){INT64_MAX, 2, 0}, 3, &n));
    assert_false(lort_layout_elements((const int64_t[]){4, -1}, 2, &n));
}

typedef struct thing {
    uint32_t key, place;
    uint8_t more[7];
} thing;

static bool thing_before(const void *a, const void *b)
{
    const thing *x = a, *y = b;
    return x->key != y->key ? x->key < y->key : x->place < y->place;
}

static void items_are_sorted(void **state)
{
    enum { MOST = 300 };
    thing things[MOST];
    (void)state;
    for (uint32_t n = 0; n < MOST; n += n < 8 ? 1 : 97)
        for (uint32_t spread = 1; spread < 1000; spread += 333) { /* 1: all keys are equal */
            for (uint32_t i = 0; i < n; i++)
                things[i] = (thing){i * 7919u % spread, i, {(uint8_t)i, 1, 2, 3, 4, 5, 6}};
            lort_sort(things, n, sizeof *things, thing_before);
            for (uint32_t i = 0; i < n; i++) {
                assert_int_equal(things[i].key, things[i].place * 7919u % spread);
                assert_int_equal(things[i].more[0], (uint8_t)things[i].place);
                assert_true(i == 0 || thing_before(&things[i - 1], &things[i]));
            }
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_are_sorted),
        cmocka_unit_test(escapes_show_what_is_there),
        cmocka_unit_test(escapes_fit_any_room),
        cmocka_unit_test(prefixes_go_before_and_the_end_is_cut),
        cmocka_unit_test(files_and_tensors_are_noted_once),
        cmocka_unit_test(a_path_stands_once_in_a_message),
        cmocka_unit_test(every_code_has_a_name),
        cmocka_unit_test(arithmetic_says_no_before_it_wraps),
        cmocka_unit_test(cursor_reads_little_endian_at_any_address),
        cmocka_unit_test(cursor_keeps_its_first_failure),
        cmocka_unit_test(cursor_asks_for_more_of_a_longer_file),
        cmocka_unit_test(arenas_give_zeroed_aligned_blocks_of_any_size),
        cmocka_unit_test(absurd_sizes_are_no_memory_and_no_overflow),
        cmocka_unit_test(buffers_grow_and_their_first_failure_sticks),
        cmocka_unit_test(hashes_are_those_of_xxhsum),
        cmocka_unit_test(hashing_in_pieces_is_hashing_at_once),
        cmocka_unit_test(names_are_found_again_among_many),
        cmocka_unit_test(tensors_are_sorted_by_place_and_empty_ones_first),
        cmocka_unit_test(element_counts_are_checked),
    };
    return run_chosen(tests, NULL, NULL);
}
