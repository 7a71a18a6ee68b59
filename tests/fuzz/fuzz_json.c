/* Fuzz target: the JSON scanner. It accepts the texts that jansson accepts, and no others.
 * Exceptions are nesting beyond 64 levels, numbers beyond jansson's, and NUL in keys. Tokens
 * ascend, and a failure sticks. Skipping a value ends where walking it ends. Strings are
 * well-formed and not longer than their escaped form. An accepted text reads the same when it is
 * written again with other escapes and no white space. */
#include "formats/base/alloc.h"
#include "formats/base/bytes.h"
#include "formats/base/text.h"
#include "formats/inputs/components.h"
#include "formats/inputs/json.h"
#include "fuzz_input.h"
#include <jansson.h>

static bool is_text(lort_json_token token)
{
    return token == LORT_JSON_KEY || token == LORT_JSON_STRING;
}

static lort_json_token next(lort_json *j)
{
    const uint64_t before = j->at;
    const lort_json_token token = lort_json_next(j);
    CHECK(j->at <= j->size && j->depth <= LORT_JSON_MAX_DEPTH && j->token_at >= before &&
          j->token_at <= j->size);
    if (token == LORT_JSON_ERROR) {
        CHECK(j->code == LORT_E_INPUT && lort_json_next(j) == LORT_JSON_ERROR);
        return token;
    }
    CHECK(j->token_at <= j->at && (token == LORT_JSON_END) == (j->token_at == j->size));
    CHECK(!(is_text(token) || token == LORT_JSON_NUMBER) ||
          (j->text >= j->token_at && j->text + j->text_size <= j->at));
    return token;
}

/* Returns the string unescaped, with a NUL behind it. */
static char *text_of(const lort_json *j, uint64_t *n)
{
    char *room = malloc(j->text_size ? j->text_size : 1);
    CHECK(room);
    *n = lort_json_text(j, room);
    CHECK(*n <= j->text_size && lort_utf8_valid(room, *n) && (j->escaped || *n == j->text_size));
    char *text = malloc(*n + 1);
    CHECK(text);
    memcpy(text, room, *n);
    text[*n] = '\0';
    free(room);
    /* a literal ends at its first NUL */
    CHECK(lort_json_text_is(j, text) == (strlen(text) == *n));
    return text;
}

/* Checks that the number has digits only, and no more than fit. */
static void check_number(const lort_json *j)
{
    uint64_t value = 0, wanted = 0;
    bool fits = true;
    for (uint64_t i = 0; i < j->text_size && fits; i++) {
        const uint8_t c = j->data[j->text + i];
        fits = c >= '0' && c <= '9' && lort_mul_u64(wanted, 10, &wanted) &&
               lort_add_u64(wanted, (uint64_t)(c - '0'), &wanted);
    }
    CHECK(lort_json_u64(j, &value) == fits && (!fits || value == wanted));
}

static void put_text(const lort_json *j, lort_buffer *out)
{
    uint64_t n;
    char *text = text_of(j, &n);
    lort_put_text(out, "\"");
    for (uint64_t i = 0; i < n; i++)
        if ((uint8_t)text[i] < 0x20 || text[i] == '"' || text[i] == '\\' || text[i] == '/')
            lort_put_text(out, "\\u%04X", (unsigned)text[i]);
        else
            lort_put_u8(out, (uint8_t)text[i]);
    lort_put_text(out, "\"");
    free(text);
}

/* Appends a token. *comma: a comma goes before the next token. */
static void put_token(const lort_json *j, lort_json_token token, bool *comma, lort_buffer *out)
{
    static const char *const plain[] = {
        [LORT_JSON_OBJECT] = "{",    [LORT_JSON_OBJECT_END] = "}", [LORT_JSON_ARRAY] = "[",
        [LORT_JSON_ARRAY_END] = "]", [LORT_JSON_TRUE] = "true",    [LORT_JSON_FALSE] = "false",
        [LORT_JSON_NULL] = "null"};
    const bool closes = token == LORT_JSON_OBJECT_END || token == LORT_JSON_ARRAY_END;
    if (*comma && !closes)
        lort_put_text(out, ",");
    if (is_text(token))
        put_text(j, out);
    else if (token == LORT_JSON_NUMBER)
        lort_put_bytes(out, j->data + j->text, j->text_size);
    else
        lort_put_text(out, "%s", plain[token]);
    if (token == LORT_JSON_KEY)
        lort_put_text(out, ":");
    *comma = token != LORT_JSON_KEY && token != LORT_JSON_OBJECT && token != LORT_JSON_ARRAY;
}

/* Returns true if the text is accepted; *out is the text written again. *nul: a key holds a NUL. */
static bool walk(const uint8_t *data, size_t size, lort_buffer *out, bool *nul, lort_error *err)
{
    lort_json j = lort_json_start(data, size, err);
    bool comma = false;
    for (lort_json_token token; (token = next(&j)) != LORT_JSON_END;) {
        uint64_t n;
        if (token == LORT_JSON_ERROR)
            return false;
        if (token == LORT_JSON_NUMBER)
            check_number(&j);
        if (token == LORT_JSON_KEY) {
            char *text = text_of(&j, &n);
            *nul = *nul || strlen(text) != n;
            free(text);
        }
        put_token(&j, token, &comma, out);
    }
    CHECK(lort_json_next(&j) == LORT_JSON_END && j.depth == 0);
    return true;
}

static void check_same(const uint8_t *data, size_t size, const lort_buffer *again)
{
    lort_json a = lort_json_start(data, size, NULL),
              b = lort_json_start(again->data, again->size, NULL);
    for (;;) {
        const lort_json_token token = next(&a);
        uint64_t n, m;
        CHECK(next(&b) == token && token != LORT_JSON_ERROR && a.depth == b.depth);
        if (token == LORT_JSON_END)
            return;
        if (token == LORT_JSON_NUMBER)
            CHECK(a.text_size == b.text_size &&
                  memcmp(a.data + a.text, b.data + b.text, a.text_size) == 0);
        if (!is_text(token))
            continue;
        char *x = text_of(&a, &n), *y = text_of(&b, &m);
        CHECK(n == m && memcmp(x, y, n) == 0);
        free(x);
        free(y);
    }
}

/* Skips the first value of every bracket, then the rest of the bracket. */
static void check_skip(const uint8_t *data, size_t size, bool accepted)
{
    lort_json j = lort_json_start(data, size, NULL);
    lort_json_token token = next(&j);
    const bool skipped = lort_json_skip(&j, token);
    CHECK(!accepted || (skipped && next(&j) == LORT_JSON_END));
    CHECK(skipped || j.code == LORT_E_INPUT);
}

static void compare_with_jansson(const uint8_t *data, size_t size, bool accepted, bool nul,
                                 const lort_error *err)
{
    json_error_t why;
    if (size && memchr(data, 0, size)) /* jansson may take a NUL for the end */
        return;
    json_t *tree = json_loadb((const char *)data, size, JSON_DECODE_ANY | JSON_ALLOW_NUL, &why);
    if (tree)
        CHECK(accepted || strstr(err->message, "nested deeper"));
    else if (accepted)
        CHECK(nul || json_error_code(&why) == json_error_numeric_overflow);
    json_decref(tree);
}

static void take_component(void *ctx, const char *path, bool bare)
{
    (void)bare;
    CHECK(*path && strlen(path) <= 1024);
    ++*(unsigned *)ctx;
}

/* A list of folders is JSON, and at most one of the two forms. */
static void check_components(const uint8_t *data, size_t size, bool accepted)
{
    unsigned count[2] = {0};
    const bool index = lort_components_parse(LORT_COMPONENTS_INDEX, data, size, take_component,
                                             &count[0], NULL) == LORT_OK,
               modules = lort_components_parse(LORT_COMPONENTS_MODULES, data, size, take_component,
                                               &count[1], NULL) == LORT_OK;
    CHECK(!(index && modules) && (accepted || (!index && !modules)));
    CHECK(count[0] <= size && count[1] <= size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lort_error err = {0};
    bool nul = false;
    lort_buffer again = {.alloc = &lort_alloc_heap}, third = {.alloc = &lort_alloc_heap};
    const bool accepted = walk(data, size, &again, &nul, &err);
    CHECK(accepted ||
          (err.code == LORT_E_INPUT && lort_utf8_valid(err.message, strlen(err.message))));
    check_skip(data, size, accepted);
    check_components(data, size, accepted);
    compare_with_jansson(data, size, accepted, nul, &err);
    if (accepted) {
        check_same(data, size, &again);
        CHECK(walk(again.data, again.size, &third, &nul, &err) && third.size == again.size &&
              memcmp(third.data, again.data, again.size) == 0);
    }
    lort_buffer_free(&again);
    lort_buffer_free(&third);
    return 0;
}
