/* A fine-tune and its base as a pair: which tensors match, and what their differences are, from
 * models and from containers. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "compress/delta/pair.h"
#include "tests/unit/command_fixture.h"
#include "tests/unit/main.h"

#define ROWS 200 /* more than one band of a container */
#define COLS 1500

static float base[ROWS * COLS], tuned[(ROWS + 3) * COLS], vector[64];
static const tiny_tensor base_tensors[] = {
    {"a.weight", "F32", 2, {ROWS, COLS}, base}, {"b.weight", "F32", 2, {ROWS, COLS}, base},
    {"c.weight", "F32", 1, {64}, vector},       {"grown.weight", "F32", 2, {ROWS, COLS}, base},
    {"other.weight", "F32", 2, {64, 30}, base}, {"gone.weight", "F32", 1, {64}, vector},
    {"retyped.weight", "F32", 1, {64}, vector},
};
static const tiny_tensor tuned_tensors[] = {
    {"new.weight", "F32", 1, {64}, vector},
    {"a.weight", "F32", 2, {ROWS, COLS}, tuned},
    {"b.weight", "F32", 2, {ROWS, COLS}, base},
    {"c.weight", "F32", 1, {64}, vector},
    {"grown.weight", "F32", 2, {ROWS + 3, COLS}, tuned},
    {"other.weight", "F32", 2, {64, 31}, base},
    {"retyped.weight", "F16", 1, {64}, NULL},
};

static void make_container(const char *model, const char *container)
{
    lort_options options = options_rank(1);
    options.goal = LORT_GOAL_LOSSLESS;
    compress_to(model, container, &options);
}

static int set_up(void **state)
{
    dir_open(state);
    tiny_fill_noise(base, ROWS * COLS, 7);
    tiny_fill_noise(tuned, (ROWS + 3) * COLS, 8);
    tiny_safetensors(dir, "b.safetensors", base_tensors, 7);
    tiny_safetensors(dir, "t.safetensors", tuned_tensors, 7);
    make_container("b.safetensors", "b.lort");
    make_container("t.safetensors", "t.lort");
    return 0;
}

typedef struct opened {
    lort_session session;
    lort_report report;
    lort_pair pair;
} opened;

static void open_pair(opened *o, const char *tuned_name, const char *base_name)
{
    const lort_model_options files = {0};
    char path[600];
    lort_error err = {0};
    uint64_t chunk;
    lort_block_need blocks = {0};
    snprintf(path, sizeof path, "%s", tiny_path(dir, tuned_name));
    assert_code(lort_session_open(&o->session, LORT_COMMAND_EXTRACT, 0, 2, NULL, &o->report, &err),
                LORT_OK, &err);
    assert_code(
        lort_pair_open(&o->pair, &o->session, path, tiny_path(dir, base_name), &files, &err),
        LORT_OK, &err);
    lort_pair_needs(&o->pair, &chunk, &blocks);
    assert_code(lort_session_start(&o->session, 2, 1, chunk, &blocks, &err), LORT_OK, &err);
    assert_code(lort_pair_start(&o->pair, ROWS * COLS, &err), LORT_OK, &err);
}

static void close_pair(opened *o)
{
    lort_pair_close(&o->pair);
    lort_pair_close(&o->pair); /* closed and zeroed */
    lort_session_close(&o->session);
    lort_report_free(&o->report);
}

static const lort_pair_tensor *named(const opened *o, const char *name)
{
    for (uint64_t i = 0; i < o->pair.count; i++) {
        const lort_pair_tensor *t = &o->pair.tensors[i];
        if (strcmp((t->tuned.tensor ? t->tuned : t->base).tensor->name, name) == 0)
            return t;
    }
    fail_msg("no tensor %s", name);
    return NULL;
}

static void tensors_match_by_name(void **state)
{
    static const struct {
        const char *name;
        lort_match match;
        int64_t rows;
    } want[] = {{"a.weight", LORT_MATCH_SAME, ROWS},   {"grown.weight", LORT_MATCH_ROWS, ROWS},
                {"other.weight", LORT_MATCH_SHAPE, 0}, {"new.weight", LORT_MATCH_NEW, 0},
                {"gone.weight", LORT_MATCH_GONE, 0},   {"retyped.weight", LORT_MATCH_TYPE, 1}};
    opened o;
    open_pair(&o, "t.safetensors", "b.safetensors");
    assert_int_equal(o.pair.count, 8);
    assert_string_equal(o.pair.tensors[7].base.tensor->name, "gone.weight");
    for (unsigned i = 0; i < sizeof want / sizeof *want; i++) {
        const lort_pair_tensor *t = named(&o, want[i].name);
        assert_int_equal(t->match, want[i].match);
        assert_int_equal(t->shape.rows, want[i].rows);
        assert_int_equal(lort_pair_decodes(t), want[i].match <= LORT_MATCH_ROWS);
        assert_true(*lort_match_text(t->match));
    }
    close_pair(&o);
}

/* Every tile equals the difference of the numbers, whatever the sides are. */
static void check_tiles(const char *tuned_name, const char *base_name)
{
    static const int64_t tiles[][4] = {{0, ROWS, 0, COLS},      {0, 1, 0, 1},
                                       {63, 65, 1023, 1025},    {10, 150, 5, 69},
                                       {128, ROWS, 1024, COLS}, {0, ROWS, 1499, COLS}};
    float *out = malloc(sizeof base);
    lort_error err = {0};
    opened o;
    open_pair(&o, tuned_name, base_name);
    for (unsigned k = 0; k < 2; k++) {
        assert_code(lort_pair_slice(&o.pair, named(&o, k ? "grown.weight" : "a.weight"), 0, &err),
                    LORT_OK, &err);
        for (unsigned i = 0; i < sizeof tiles / sizeof *tiles; i++)
            for (int what = LORT_PAIR_TUNED; what <= LORT_PAIR_DIFFERENCE; what++) {
                const int64_t *t = tiles[i];
                assert_code(lort_pair_tile(&o.pair, (lort_pair_what)what, i % 2, t[0], t[1], t[2],
                                           t[3], out, &err),
                            LORT_OK, &err);
                for (int64_t r = t[0], n = 0; r < t[1]; r++)
                    for (int64_t c = t[2]; c < t[3]; c++, n++) {
                        const float w = tuned[r * COLS + c], b = base[r * COLS + c];
                        assert_true(out[n] == (what == LORT_PAIR_TUNED  ? w
                                               : what == LORT_PAIR_BASE ? b
                                                                        : w - b));
                    }
            }
        lort_pair_release(&o.pair);
    }
    close_pair(&o);
    free(out);
}

static void tiles_of_two_models(void **state) { check_tiles("t.safetensors", "b.safetensors"); }
static void tiles_of_a_model_and_a_container(void **state)
{
    check_tiles("t.safetensors", "b.lort");
    check_tiles("t.lort", "b.safetensors");
}
static void tiles_of_two_containers(void **state) { check_tiles("t.lort", "b.lort"); }

static void equal_bytes_are_told(void **state)
{
    static const char *const sides[][2] = {{"t.safetensors", "b.safetensors"},
                                           {"t.lort", "b.lort"}};
    lort_error err = {0};
    for (unsigned i = 0; i < 2; i++) {
        static const struct {
            const char *name;
            bool equal;
        } want[] = {{"a.weight", false},     {"b.weight", true},        {"c.weight", true},
                    {"grown.weight", false}, {"retyped.weight", false}, {"new.weight", false}};
        opened o;
        open_pair(&o, sides[i][0], sides[i][1]);
        for (unsigned k = 0; k < sizeof want / sizeof *want; k++) {
            bool equal;
            assert_code(lort_pair_equal(&o.pair, named(&o, want[k].name), &equal, &err), LORT_OK,
                        &err);
            assert_int_equal(equal, want[k].equal);
        }
        close_pair(&o);
    }
}

static void a_side_that_does_not_open_closes(void **state)
{
    const lort_model_options files = {0};
    lort_error err = {0};
    char path[600];
    opened o;
    snprintf(path, sizeof path, "%s", tiny_path(dir, "t.safetensors"));
    assert_code(lort_session_open(&o.session, LORT_COMMAND_EXTRACT, 0, 1, NULL, &o.report, &err),
                LORT_OK, &err);
    assert_code(lort_pair_open(&o.pair, &o.session, path, tiny_path(dir, "gone"), &files, &err),
                LORT_E_INPUT, &err);
    close_pair(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(tensors_match_by_name, set_up, dir_close),
        cmocka_unit_test_setup_teardown(tiles_of_two_models, set_up, dir_close),
        cmocka_unit_test_setup_teardown(tiles_of_a_model_and_a_container, set_up, dir_close),
        cmocka_unit_test_setup_teardown(tiles_of_two_containers, set_up, dir_close),
        cmocka_unit_test_setup_teardown(equal_bytes_are_told, set_up, dir_close),
        cmocka_unit_test_setup_teardown(a_side_that_does_not_open_closes, set_up, dir_close),
    };
    return run_chosen(tests, NULL, NULL);
}
