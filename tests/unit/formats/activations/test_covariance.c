/* Tests of covariance files: files that are refused, by name, with what is said of them; every form
 * of the numbers; equal inputs; and where the numbers of a line are. */
#define _POSIX_C_SOURCE 200809L
#include "formats/activations/covariance.h"
#include "tests/unit/main.h"
#include "tests/unit/malformed.h"
#include <math.h>

/* ---- building ---- */

typedef struct part {
    const char *name;
    lort_dtype type;
    uint32_t n_dims;
    uint64_t ne[2];
} part;

typedef struct file {
    const char *type; /* NULL: the key is missing */
    uint32_t version; /* of the covariances; 0: the key is missing */
    const char *same[4];
    unsigned same_count;
    part parts[6];
    unsigned count;
} file;

#define SUMS(name, n, mats)                                                                        \
    {                                                                                              \
        name ".in_sum2", LORT_F32, 2, { n, mats }                                                  \
    }
#define COUNTS(name, mats)                                                                         \
    {                                                                                              \
        name ".counts", LORT_F32, 2, { 1, mats }                                                   \
    }
#define COV(name, type, ...)                                                                       \
    {                                                                                              \
        name ".in_cov", type, sizeof((uint64_t[]){__VA_ARGS__}) / 8, { __VA_ARGS__ }               \
    }
#define FACTOR(name, n, r)                                                                         \
    {                                                                                              \
        name ".in_cov_factor", LORT_F16, 2, { n, r }                                               \
    }
#define PLAIN .type = "imatrix", .version = 1

static void build(const file *f, lort_buffer *b)
{
    uint64_t offset = 0, bytes;
    put_head(b, 3, f->count, (f->type != NULL) + (f->version != 0) + (f->same_count != 0));
    if (f->type)
        put_kv_text(b, "general.type", f->type);
    if (f->version)
        put_kv_u32(b, "lort.covariance.version", f->version);
    if (f->same_count) {
        put_key(b, "lort.covariance.same", 9);
        lort_put_u32(b, 8);
        lort_put_u64(b, f->same_count);
        for (unsigned i = 0; i < f->same_count; i++)
            put_string(b, f->same[i]);
    }
    for (unsigned i = 0; i < f->count; i++) {
        const part *p = &f->parts[i];
        put_info(b, p->name, p->n_dims, p->ne, p->type, offset);
        assert_true(lort_dtype_bytes(lort_dtype_get(p->type),
                                     p->ne[0] * (p->n_dims > 1 ? p->ne[1] : 1), &bytes));
        offset += (bytes + 31) / 32 * 32;
    }
    put_data(b, 32, offset);
}

static lort_code parse(const file *f, lort_covariances *out, lort_error *err)
{
    lort_buffer b = new_buffer();
    uint64_t wanted;
    build(f, &b);
    uint8_t *copy = malloc(b.size); /* of the exact size, and gone before the result is used */
    assert_non_null(copy);
    memcpy(copy, b.data, b.size);
    lort_code code =
        lort_covariances_parse(copy, b.size, b.size, &lort_alloc_heap, out, &wanted, err);
    memset(copy, 0xEE, b.size);
    free(copy);
    lort_buffer_free(&b);
    return code;
}

static const lort_covariance *find(const lort_covariances *set, const char *name)
{
    return lort_covariances_find(set, name, strlen(name));
}

/* ---- refused ---- */

static const struct refused {
    const char *name;
    file made;
    const char *said;
} refused[] = {
    {"no type",
     {.version = 1, .parts = {SUMS("w", 3, 1)}, .count = 1},
     "general.type must be 'imatrix'"},
    {"a model",
     {.type = "model", .version = 1, .parts = {SUMS("w", 3, 1)}, .count = 1},
     "general.type must be 'imatrix'"},
    {"an importance matrix",
     {.type = "imatrix", .parts = {SUMS("w", 3, 1), COUNTS("w", 1)}, .count = 2},
     "goes with --imatrix"},
    {"another version",
     {.type = "imatrix", .version = 2, .parts = {SUMS("w", 3, 1), COUNTS("w", 1)}, .count = 2},
     "must be the number 1"},
    {"no sums", {PLAIN, .parts = {COV("w", LORT_F16, 6)}, .count = 1}, "no entry"},
    {"sums of another matrix",
     {PLAIN, .parts = {SUMS("v", 3, 1), COUNTS("v", 1), COV("w", LORT_F16, 6)}, .count = 3},
     "there is no tensor of sums"},
    {"no counts",
     {PLAIN, .parts = {SUMS("w", 3, 1), COV("w", LORT_F16, 6)}, .count = 2},
     "there is no tensor of counts"},
    {"too many counts",
     {PLAIN, .parts = {SUMS("w", 3, 1), COUNTS("w", 2), COV("w", LORT_F16, 6)}, .count = 3},
     "one for each row"},
    {"no correlations",
     {PLAIN, .parts = {SUMS("w", 3, 1), COUNTS("w", 1)}, .count = 2},
     "no covariance"},
    {"packed, one short",
     {PLAIN, .parts = {SUMS("w", 3, 1), COUNTS("w", 1), COV("w", LORT_F16, 5)}, .count = 3},
     "does not fit 1 matrices of n = 3"},
    {"packed, of two matrices",
     {PLAIN, .parts = {SUMS("w", 3, 1), COUNTS("w", 1), COV("w", LORT_F16, 6, 2)}, .count = 3},
     "does not fit 1 matrices of n = 3"},
    {"full, of a stack",
     {PLAIN, .parts = {SUMS("w", 3, 2), COUNTS("w", 2), COV("w", LORT_F16, 3, 3)}, .count = 3},
     "[matrices, n (n + 1) / 2] is allowed"},
    {"full, not square",
     {PLAIN, .parts = {SUMS("w", 3, 1), COUNTS("w", 1), COV("w", LORT_F16, 3, 2)}, .count = 3},
     "does not fit"},
    {"BF16",
     {PLAIN, .parts = {SUMS("w", 3, 1), COUNTS("w", 1), COV("w", LORT_BF16, 6)}, .count = 3},
     "must be F16 or F32"},
    {"a rank above n",
     {PLAIN, .parts = {SUMS("w", 3, 1), COUNTS("w", 1), FACTOR("w", 3, 4)}, .count = 3},
     "r at most n"},
    {"a factor of other inputs",
     {PLAIN, .parts = {SUMS("w", 3, 1), COUNTS("w", 1), FACTOR("w", 4, 1)}, .count = 3},
     "does not fit"},
    {"two forms",
     {PLAIN, .parts = {SUMS("w", 3, 1), COUNTS("w", 1), COV("w", LORT_F16, 6), FACTOR("w", 3, 1)},
      .count = 4},
     "has correlations already"},
    {"same, an odd list",
     {PLAIN, .same = {"w"}, .same_count = 1,
      .parts = {SUMS("w", 3, 1), COUNTS("w", 1), COV("w", LORT_F16, 6)}, .count = 3},
     "two for each pair"},
    {"same, nothing behind it",
     {PLAIN, .same = {"v", "u"}, .same_count = 2,
      .parts = {SUMS("w", 3, 1), COUNTS("w", 1), COV("w", LORT_F16, 6), SUMS("v", 3, 1),
                COUNTS("v", 1)},
      .count = 5},
     "'v' cannot have the inputs of 'u': the second has no .in_cov"},
    {"same, without sums",
     {PLAIN, .same = {"v", "w"}, .same_count = 2,
      .parts = {SUMS("w", 3, 1), COUNTS("w", 1), COV("w", LORT_F16, 6)}, .count = 3},
     "the first has no .in_sum2"},
    {"same, of itself",
     {PLAIN, .same = {"w", "w"}, .same_count = 2,
      .parts = {SUMS("w", 3, 1), COUNTS("w", 1), COV("w", LORT_F16, 6)}, .count = 3},
     "correlations of its own"},
    {"same, a chain",
     {PLAIN, .same = {"v", "w", "v", "v"}, .same_count = 4,
      .parts = {SUMS("w", 3, 1), COUNTS("w", 1), COV("w", LORT_F16, 6), SUMS("v", 3, 1),
                COUNTS("v", 1)},
      .count = 5},
     "correlations of its own"},
    {"same, other inputs",
     {PLAIN, .same = {"v", "w"}, .same_count = 2,
      .parts = {SUMS("w", 3, 1), COUNTS("w", 1), COV("w", LORT_F16, 6), SUMS("v", 4, 1),
                COUNTS("v", 1)},
      .count = 5},
     "numbers of inputs differ"},
};

static void files_are_refused(void **state)
{
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        lort_covariances set;
        lort_error err = {0};
        const lort_code code = parse(&refused[i].made, &set, &err);
        if (code != LORT_E_INPUT || !strstr(err.message, refused[i].said))
            fail_msg("%s: code %d, '%s', not '%s'", refused[i].name, (int)code, err.message,
                     refused[i].said);
        assert_true(set.count == 0 && set.entries == NULL);
    }
}

/* Every end of a valid file before its data is refused, and asks for more of the file. */
static void short_files_are_refused(void **state)
{
    const file f = {PLAIN, .parts = {SUMS("w", 3, 1), COUNTS("w", 1), COV("w", LORT_F16, 6)},
                    .count = 3};
    lort_buffer b = new_buffer();
    lort_covariances set;
    uint64_t wanted;
    build(&f, &b);
    assert_int_equal(
        lort_covariances_parse(b.data, b.size, b.size, &lort_alloc_heap, &set, &wanted, NULL),
        LORT_OK);
    lort_covariances_free(&set);
    const uint64_t header = b.size - 96;
    for (uint64_t n = 0; n < header - 31; n++) {
        uint8_t *copy = malloc(n ? n : 1);
        assert_non_null(copy);
        memcpy(copy, b.data, n);
        assert_int_equal(
            lort_covariances_parse(copy, n, b.size, &lort_alloc_heap, &set, &wanted, NULL),
            LORT_E_INPUT);
        assert_true(wanted > n && wanted <= b.size);
        free(copy);
    }
    lort_buffer_free(&b);
}

/* ---- good ---- */

static void forms_are_told(void **state)
{
    const file f = {
        PLAIN, .same = {"model.layers.1.x.weight", "w"}, .same_count = 0,
        .parts = {SUMS("w.weight", 3, 2), COUNTS("w.weight", 2), COV("w.weight", LORT_F16, 6, 2)},
        .count = 3};
    lort_covariances set;
    lort_error err = {0};
    if (parse(&f, &set, &err))
        fail_msg("%s", err.message);
    const lort_covariance *e = find(&set, "w.weight");
    assert_ptr_equal(find(&set, "w"), e);
    assert_null(find(&set, "v"));
    assert_int_equal(e->form, LORT_COVARIANCE_PACKED);
    assert_true(e->inputs == 3 && e->matrices == 2 && lort_covariance_lines(e) == 3);
    const lort_covariance_line line = lort_covariance_line_of(e, 1, 2);
    assert_true(line.offset == e->values_at + 2 * (6 + 3) && line.bytes == 6 && line.count == 3);
    assert_true(lort_covariance_fits(e, &(lort_matrices){2, 5, 3}));
    assert_false(lort_covariance_fits(e, &(lort_matrices){3, 5, 3}));
    assert_false(lort_covariance_fits(e, &(lort_matrices){2, 5, 4}));
    lort_covariances_free(&set);
    lort_covariances_free(&set);
}

static void other_forms_are_told(void **state)
{
    const file f = {PLAIN, .same = {"v", "w"}, .same_count = 2,
                    .parts = {SUMS("w", 3, 1), COUNTS("w", 1), FACTOR("w", 3, 2), SUMS("v", 3, 1),
                              COUNTS("v", 1)},
                    .count = 5},
               g = {PLAIN, .parts = {SUMS("w", 3, 1), COUNTS("w", 1), COV("w", LORT_F32, 3, 3)},
                    .count = 3};
    lort_covariances set;
    assert_int_equal(parse(&f, &set, NULL), LORT_OK);
    const lort_covariance *w = find(&set, "w"), *v = find(&set, "v");
    assert_true(w->form == LORT_COVARIANCE_FACTOR && w->rank == 2 && lort_covariance_lines(w) == 2);
    assert_true(v->form == w->form && v->values_at == w->values_at && v->sums_at != w->sums_at);
    assert_string_equal(v->from, "w");
    lort_covariances_free(&set);
    assert_int_equal(parse(&g, &set, NULL), LORT_OK);
    assert_int_equal(find(&set, "w")->form, LORT_COVARIANCE_FULL);
    const lort_covariance_line line = lort_covariance_line_of(find(&set, "w"), 0, 1);
    assert_true(line.offset == find(&set, "w")->values_at + 12 && line.count == 3 &&
                line.bytes == 12);
    lort_covariances_free(&set);
}

static void numbers_are_checked(void **state)
{
    const lort_covariance packed = {.name = "w",
                                    .name_bytes = 1,
                                    .from = "w",
                                    .inputs = 3,
                                    .matrices = 1,
                                    .form = LORT_COVARIANCE_PACKED,
                                    .type = lort_dtype_get(LORT_F32)};
    static const struct {
        float line[3], sums[3], count;
        const char *of_line, *of_sums;
    } cases[] = {
        {{0.5f, -1.001f, 1.0009f}, {0, 1, 2}, 0, NULL, NULL},
        {{0.5f, NAN, 1}, {0, NAN, 2}, 1, "inputs 2 and 1 is ", "of input 1 is "},
        {{0.5f, -1.002f, 1}, {0, 1, -2}, 1, "inputs 2 and 1 is -1.002", "of input 2 is -2"},
        {{0.5f, 0, 0.998f}, {0, 1, INFINITY}, 1, "inputs 2 and 2 is 0.998", "of input 2 is inf"},
        {{0.5f, 0, 1.0011f}, {0, 1, 2}, NAN, "inputs 2 and 2 is 1.0011", "count 0 is "}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lort_error line = {0}, sums = {0};
        lort_covariance_check_line(&packed, 0, 2, cases[i].line, &line);
        lort_covariance_check_sums(&packed, 0, cases[i].sums, cases[i].count, &sums);
        assert_int_equal(line.code, cases[i].of_line ? LORT_E_INPUT : LORT_OK);
        assert_int_equal(sums.code, cases[i].of_sums ? LORT_E_INPUT : LORT_OK);
        assert_true(!cases[i].of_line || strstr(line.message, cases[i].of_line) != NULL);
        assert_true(!cases[i].of_sums || strstr(sums.message, cases[i].of_sums) != NULL);
    }
    lort_error err = {0};
    const float shares[] = {1, 0.5f, 1.002f};
    assert_int_equal(lort_covariance_check_shares(&packed, shares, &err), LORT_E_INPUT);
}

/* Each allocation may fail: the error is LORT_E_MEMORY, and nothing is left behind. */
static void memory_may_be_short(void **state)
{
    const file f = {PLAIN, .parts = {SUMS("w", 3, 1), COUNTS("w", 1), COV("w", LORT_F16, 6)},
                    .count = 3};
    lort_buffer b = new_buffer();
    lort_code code = LORT_E_MEMORY;
    build(&f, &b);
    for (uint64_t at = 1; code; at++) {
        failing s = {.fail_at = at};
        const lort_alloc alloc = FAILING_ALLOC(s);
        lort_covariances set;
        uint64_t wanted;
        code = lort_covariances_parse(b.data, b.size, b.size, &alloc, &set, &wanted, NULL);
        assert_true(code == LORT_OK || code == LORT_E_MEMORY);
        lort_covariances_free(&set);
        assert_true(s.out_blocks == 0 && s.out_bytes == 0 && at < 100);
    }
    lort_buffer_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_are_refused),   cmocka_unit_test(short_files_are_refused),
        cmocka_unit_test(forms_are_told),      cmocka_unit_test(other_forms_are_told),
        cmocka_unit_test(numbers_are_checked), cmocka_unit_test(memory_may_be_short),
    };
    return run_chosen(tests, NULL, NULL);
}
