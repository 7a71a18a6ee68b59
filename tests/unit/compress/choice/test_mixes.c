/* mixes: every type is the one that llama.cpp's library chose (tests/golden/llama_types.tsv, which
 * tests/models/llama_types.py makes). */
#include "compress/choice/mixes.h"
#include "tests/unit/main.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TABLE "tests/golden/llama_types.tsv"
#define MOST_TENSORS 4096
#define MOST_DIMS 4

static const struct {
    char letter;
    lort_dtype type;
} letters[] = {
    {'h', LORT_F16},  {'b', LORT_BF16}, {'p', LORT_Q4_0},   {'q', LORT_Q4_1},   {'r', LORT_Q5_0},
    {'s', LORT_Q5_1}, {'t', LORT_Q8_0}, {'C', LORT_Q2_K},   {'D', LORT_Q3_K},   {'E', LORT_Q4_K},
    {'F', LORT_Q5_K}, {'G', LORT_Q6_K}, {'n', LORT_IQ4_NL}, {'x', LORT_IQ4_XS},
};

typedef struct model {
    char name[64], arch[32];
    lort_mix_facts facts;
    lort_mix_tensor tensors[MOST_TENSORS];
    char names[MOST_TENSORS][64];
    int64_t dims[MOST_TENSORS][MOST_DIMS];
    uint64_t count;
} model;

static char letter_of(lort_dtype type)
{
    for (unsigned i = 0; i < sizeof letters / sizeof *letters; i++)
        if (letters[i].type == type)
            return letters[i].letter;
    return '?';
}

/* The next field of a line, or NULL. */
static char *next_field(char **line)
{
    char *field = *line;
    if (!field)
        return NULL;
    char *end = strpbrk(field, "\t\n");
    *line = end && *end == '\t' ? end + 1 : NULL;
    if (end)
        *end = '\0';
    return field;
}

/* The next field, which must be there. */
static char *need_field(char **line)
{
    char *field = next_field(line);
    if (!field)
        abort();
    return field;
}

static void read_model(model *m, char *line)
{
    m->count = 0;
    snprintf(m->name, sizeof m->name, "%s", need_field(&line));
    snprintf(m->arch, sizeof m->arch, "%s", need_field(&line));
    m->facts = (lort_mix_facts){.arch = m->arch};
    m->facts.n_layer = atoll(need_field(&line));
    m->facts.n_head = (uint64_t)atoll(need_field(&line));
    m->facts.n_head_kv = (uint64_t)atoll(need_field(&line));
    m->facts.n_expert = (uint64_t)atoll(need_field(&line));
}

static void read_tensors(model *m, char *line)
{
    const char *form = need_field(&line), *number = strstr(form, "%d");
    const int count = atoi(need_field(&line));
    int64_t dims[MOST_DIMS];
    uint32_t n_dims = 0;
    for (const char *dim; (dim = next_field(&line)) != NULL;)
        dims[n_dims++] = atoll(dim);
    for (int i = 0; i < count; i++) {
        const uint64_t at = m->count++;
        assert_true(at < MOST_TENSORS);
        if (number)
            snprintf(m->names[at], sizeof *m->names, "%.*s%d%s", (int)(number - form), form, i,
                     number + 2);
        else
            snprintf(m->names[at], sizeof *m->names, "%s", form);
        memcpy(m->dims[at], dims, sizeof dims);
        lort_mix_tensor *tensor = &m->tensors[at];
        *tensor = (lort_mix_tensor){.name = m->names[at],
                                    .name_bytes = strlen(m->names[at]),
                                    .dims = m->dims[at],
                                    .n_dims = n_dims};
        if (lort_keep_why(tensor->name, tensor->name_bytes, tensor->dims, n_dims) == LORT_KEEP_NOT)
            tensor->use = lort_use_of(tensor->name, tensor->name_bytes, NULL);
    }
}

/* Compares all types with the runs of letters, such as "h3E". Returns how many it compared. */
static uint64_t check_types(const model *m, const char *mix, const char *how, const char *runs)
{
    uint64_t at = 0, compared = 0;
    while (*runs) {
        uint64_t run =
            isdigit((unsigned char)*runs) ? strtoull(runs, (char **)(uintptr_t)&runs, 10) : 1;
        for (; run > 0; run--, at++) {
            const lort_mix_tensor *tensor = &m->tensors[at];
            assert_true(at < m->count);
            if (tensor->use == LORT_USE_KEPT) {
                assert_null(tensor->type);
                if (*runs != 'h') /* a source of F16 has the letter too */
                    assert_int_equal(*runs != '.',
                                     lort_llama_quantises(tensor->name, tensor->name_bytes,
                                                          tensor->dims, tensor->n_dims));
                continue;
            }
            compared++;
            if (letter_of(tensor->type->id) != *runs)
                fail_msg("%s %s %s: %s is %s, llama.cpp says %c", m->name, mix, how, tensor->name,
                         tensor->type->name, *runs);
        }
        runs++;
    }
    assert_int_equal(at, m->count);
    return compared;
}

static uint64_t judge_types(model *m, const char *name, const char *how, const char *runs)
{
    uint64_t compared = 0;
    const lort_mix *mix = lort_mix_by_name(name);
    assert_non_null(mix);
    for (unsigned imatrix = 0; imatrix < 2; imatrix++) {
        m->facts.has_imatrix = imatrix;
        if (strcmp(how, "imatrix") == 0 && !imatrix)
            continue;
        assert_int_equal(lort_mix_assign(mix, strcmp(how, "pure") == 0, &m->facts, m->tensors,
                                         m->count, &lort_alloc_heap, NULL),
                         LORT_OK);
        if (strcmp(how, "plain") != 0 || !imatrix)
            compared += check_types(m, name, how, runs);
    }
    return compared;
}

static void every_type_is_that_of_llama_cpp(void **state)
{
    static char line[1 << 16];
    static model m;
    uint64_t compared = 0, models = 0;
    FILE *table = fopen(TABLE, "r");
    assert_non_null(table);
    while (fgets(line, sizeof line, table)) {
        char *rest = line;
        const char *word = need_field(&rest);
        if (strcmp(word, "model") == 0) {
            read_model(&m, rest);
            models++;
        } else if (strcmp(word, "tensor") == 0) {
            read_tensors(&m, rest);
        } else if (strcmp(word, "types") == 0) {
            const char *mix = need_field(&rest), *how = need_field(&rest);
            compared += judge_types(&m, mix, how, need_field(&rest));
        }
    }
    fclose(table);
    assert_true(models >= 32);
    assert_true(compared > 100000);
}

/* Where llama.cpp has one answer for both, an importance matrix changes nothing. */
static void an_importance_matrix_changes_four_mixes(void **state)
{
    static const char *const changed[] = {"Q4_0", "Q5_0", "IQ4_NL", "IQ4_XS"};
    const int64_t dims[] = {512, 256};
    lort_mix_facts facts = {.arch = "llama", .n_layer = 8, .n_head = 8, .n_head_kv = 8};
    for (uint32_t i = 0; lort_mix_at(i); i++) {
        lort_mix_tensor one = {"blk.0.ffn_down.weight", 21, dims, 2, LORT_USE_FFN_DOWN, NULL};
        const lort_dtype_info *types[2];
        bool is_listed = false;
        for (unsigned k = 0; k < 4; k++)
            is_listed = is_listed || strcmp(changed[k], lort_mix_name(lort_mix_at(i))) == 0;
        for (unsigned with = 0; with < 2; with++) {
            facts.has_imatrix = with;
            assert_int_equal(
                lort_mix_assign(lort_mix_at(i), false, &facts, &one, 1, &lort_alloc_heap, NULL),
                LORT_OK);
            types[with] = one.type;
        }
        assert_int_equal(types[0] != types[1], is_listed);
    }
}

static void names_are_found_in_any_case(void **state)
{
    assert_string_equal(lort_mix_name(lort_mix_by_name("q4_k_m")), "Q4_K_M");
    assert_ptr_equal(lort_mix_by_name("Q4_K"), lort_mix_by_name("Q4_K_M"));
    assert_ptr_equal(lort_mix_by_name("q3_k"), lort_mix_by_name("Q3_K_M"));
    assert_ptr_equal(lort_mix_by_name("Q5_k"), lort_mix_by_name("Q5_K_M"));
    assert_string_equal(lort_mix_name(lort_mix_by_name("iq4_xs")), "IQ4_XS");
    assert_string_equal(lort_mix_name(lort_mix_by_name("bF16")), "BF16");
    static const char *const none[] = {"",    "Q4",    "Q4_K_",   "Q4_K_ML",
                                       "F32", "IQ2_S", "Q4_K_M ", "COPY"};
    for (unsigned i = 0; i < sizeof none / sizeof *none; i++)
        assert_null(lort_mix_by_name(none[i]));
    for (uint32_t i = 0; lort_mix_at(i); i++)
        assert_ptr_equal(lort_mix_by_name(lort_mix_name(lort_mix_at(i))), lort_mix_at(i));
}

static void file_types_are_those_of_llama_cpp(void **state)
{
    static const struct {
        const char *name;
        uint32_t mixed, pure;
    } known[] = {
        {"F16", 1, 1},      {"Q4_0", 2, 2},     {"Q4_1", 3, 3},     {"Q8_0", 7, 7},
        {"Q5_0", 8, 8},     {"Q5_1", 9, 9},     {"Q2_K", 10, 10},   {"Q3_K_S", 11, 11},
        {"Q3_K_M", 12, 11}, {"Q3_K_L", 13, 11}, {"Q4_K_S", 14, 14}, {"Q4_K_M", 15, 14},
        {"Q5_K_S", 16, 16}, {"Q5_K_M", 17, 16}, {"Q6_K", 18, 18},   {"Q2_K_S", 21, 10},
        {"IQ4_NL", 25, 25}, {"IQ4_XS", 30, 30}, {"BF16", 32, 32},
    };
    uint32_t i = 0, file_type = 9;
    for (; i < sizeof known / sizeof *known; i++) {
        const lort_mix *mix = lort_mix_by_name(known[i].name);
        assert_int_equal(lort_mix_file_type(mix, false), known[i].mixed);
        assert_int_equal(lort_mix_file_type(mix, true), known[i].pure);
        assert_int_equal(lort_mix_asks_importance(mix), strcmp(known[i].name, "Q2_K_S") == 0);
    }
    assert_null(lort_mix_at(i));
    assert_true(lort_file_type_of(LORT_F32, &file_type));
    assert_int_equal(file_type, 0);
    assert_false(lort_file_type_of(LORT_I8, &file_type));
}

static void a_tensor_may_be_kept_whatever_its_name(void **state)
{
    const int64_t dims[] = {4, 256};
    const lort_mix_facts facts = {.arch = "llama", .n_layer = 2, .n_head = 8, .n_head_kv = 8};
    lort_mix_tensor two[] = {{"output.weight", 13, dims, 2, LORT_USE_KEPT, NULL},
                             {"token_embd.weight", 17, dims, 2, LORT_USE_TOKEN_EMBD, NULL}};
    assert_int_equal(
        lort_mix_assign(lort_mix_by_name("Q4_K"), false, &facts, two, 2, &lort_alloc_heap, NULL),
        LORT_OK);
    assert_null(two[0].type);
    assert_int_equal(two[1].type->id, LORT_Q4_K); /* not tied: output.weight is there */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_is_that_of_llama_cpp),
        cmocka_unit_test(an_importance_matrix_changes_four_mixes),
        cmocka_unit_test(names_are_found_in_any_case),
        cmocka_unit_test(file_types_are_those_of_llama_cpp),
        cmocka_unit_test(a_tensor_may_be_kept_whatever_its_name),
    };
    return run_chosen(tests, NULL, NULL);
}
