/* Fuzz target: what the JSON files beside the weights say. The input is texts with 0xFF between
 * them. The first byte of a text chooses its file's name. Facts keep their bounds, memory is in
 * proportion to the texts, and a text that is read twice adds no fact. A module is spared exactly
 * if a search without the set finds it. */
#include "compress/plan/facts.h"
#include "fuzz_header.h"
#include "fuzz_input.h"

#define BETWEEN 0xFF /* of no UTF-8 text */
#define PARTS 12     /* of a module's name that count */
#define MODULE 200   /* bytes of a module's name that the target asks for */
#define ASKED 24     /* spared names that it asks for */
#define TEXTS 8      /* others are left out */

static bool is_name_byte(char c)
{
    return strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.", c) != NULL;
}

static void check_bounds(const lort_facts *facts)
{
    CHECK(memchr(facts->method, 0, sizeof facts->method));
    for (const char *p = facts->method; *p; p++)
        CHECK(is_name_byte(*p));
    CHECK(facts->expert_count <= LORT_FACTS_EXPERTS);
    for (unsigned i = 0; i < facts->expert_count; i++) {
        CHECK(facts->experts[i] >= 2 && facts->experts[i] <= 65536);
        for (unsigned k = 0; k < i; k++)
            CHECK(facts->experts[i] != facts->experts[k]);
    }
    CHECK(facts->spared.size <= 1u << 20);
    CHECK(facts->spared.size == 0 || facts->quantised);
    for (uint64_t at = 0; at < facts->spared.size;) {
        const char *name = (const char *)facts->spared.data + at;
        const char *end = memchr(name, 0, facts->spared.size - at);
        CHECK(end && end > name && lort_utf8_valid(name, (uint64_t)(end - name)));
        at += (uint64_t)(end - name) + 1;
    }
}

static lort_code parse(const input *text, lort_facts *facts, lort_error *err)
{
    static const char *const names[] = {"config.json", "hf_quant_config.json",
                                        "quantize_config.json", "quant_config.json",
                                        "tokenizer_config.json"};
    input in = *text;
    const unsigned which = input_u8(&in) % (sizeof names / sizeof *names);
    const bool before = facts->quantised;
    uint8_t *copy = exact_copy(in.at, in.left, 0);
    const lort_code code = lort_facts_parse(names[which], copy, in.left, facts, err);
    CHECK(which < 4 || (code == LORT_OK && facts->quantised == before));
    CHECK(which < 2 || which > 3 || facts->quantised);
    free(copy);
    return code;
}

/* Parses one text, and once more with the same facts. */
static void parse_twice(const input *text, lort_facts *facts)
{
    lort_error err = {0}, again = {0};
    const lort_code code = parse(text, facts, &err);
    const lort_facts first = *facts;
    check_bounds(facts);
    CHECK(code == LORT_OK || (code == LORT_E_INPUT && err.code == code && err.message[0] &&
                              lort_utf8_valid(err.message, strlen(err.message))));
    CHECK(parse(text, facts, &again) == code && strcmp(again.message, err.message) == 0);
    check_bounds(facts);
    CHECK(facts->quantised == first.quantised && strcmp(facts->method, first.method) == 0);
    CHECK(facts->expert_count == first.expert_count &&
          memcmp(facts->experts, first.experts, sizeof first.experts) == 0);
}

/* True if whole parts of the module's name, among its first PARTS, are the spared name. */
static bool has_parts(const char *module, uint32_t bytes, const char *spared, uint32_t n)
{
    unsigned dots = 0;
    for (uint32_t end = 0; end <= bytes; end++) {
        if (end && module[end - 1] == '.')
            dots++;
        if (dots >= PARTS)
            return false;
        if (end >= n && (end == bytes || module[end] == '.') &&
            (end == n || module[end - n - 1] == '.') && memcmp(module + end - n, spared, n) == 0)
            return true;
    }
    return false;
}

static void check_module(const lort_facts *facts, const char *module, uint32_t bytes)
{
    bool wanted = false;
    for (uint64_t at = 0; at < facts->spared.size && !wanted;) {
        const char *spared = (const char *)facts->spared.data + at;
        const uint32_t n = (uint32_t)strlen(spared);
        wanted = lort_names_find(&facts->names, spared, n) && has_parts(module, bytes, spared, n);
        at += n + 1;
    }
    CHECK(lort_facts_spare(facts, module, bytes) == wanted);
}

/* Asks for the spared names themselves, within others, and cut; and for the end of the input. */
static void check_modules(const lort_facts *facts, const input *last)
{
    char module[MODULE + 40];
    unsigned asked = 0;
    check_module(facts, (const char *)last->at,
                 (uint32_t)(last->left < MODULE ? last->left : MODULE));
    for (uint64_t at = 0; at < facts->spared.size && asked < ASKED; asked++) {
        const char *spared = (const char *)facts->spared.data + at;
        const size_t n = strlen(spared), taken = n < MODULE ? n : MODULE;
        const int in = snprintf(module, sizeof module, "model.%.*s.proj", MODULE, spared);
        check_module(facts, spared, (uint32_t)taken);
        check_module(facts, spared + 1, (uint32_t)(taken - 1));
        check_module(facts, module, (uint32_t)in);
        check_module(facts, module + 5, (uint32_t)(in - 5));
        check_module(facts, module, (uint32_t)(in - 6));
        at += n + 1;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    allocations l = {0};
    lort_alloc alloc = {ledger_take, ledger_give, &l};
    lort_facts facts = {.spared = {.alloc = &alloc}};
    input last = {data, 0};
    unsigned texts = 0;
    for (size_t at = 0; at < size && texts < TEXTS; at += last.left + 1, texts++) {
        const uint8_t *end = memchr(data + at, BETWEEN, size - at);
        last = (input){data + at, end ? (size_t)(end - data) - at : size - at};
        parse_twice(&last, &facts);
    }
    CHECK(lort_facts_list(&facts, NULL) == LORT_OK);
    CHECK(l.peak <= (1u << 16) + 64 * (uint64_t)size);
    check_modules(&facts, &last);
    lort_facts_free(&facts);
    CHECK(l.blocks == 0 && l.out == 0);
    return 0;
}
