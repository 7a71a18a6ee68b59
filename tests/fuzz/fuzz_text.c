/* Fuzz target: words of the command line and of tensors' names. An accepted size equals that of
 * strtod and its unit. A glob matches by the definition of '*' and '?', checked with a table over
 * all ends of the name. Every name is of one kind. Input: the work to do, and the text; pattern and
 * name have a NUL between them. */
#include "compress/goal/kinds.h"
#include "compress/plan/plan.h"
#include "formats/base/bytes.h"
#include "formats/base/glob.h"
#include "fuzz_input.h"
#include <math.h>

#define GLOB_MOST 300

static void check_size(const char *text)
{
    static const char letters[] = "KMGT";
    uint64_t bytes = 1;
    lort_error err = {0};
    char shown[32], *end;
    if (lort_parse_size(text, &bytes, &err)) {
        CHECK(err.code == LORT_E_USAGE && bytes == 0 &&
              lort_utf8_valid(err.message, strlen(err.message)));
        return;
    }
    CHECK(bytes > 0 && bytes <= INT64_MAX && text[0] >= '0' && text[0] <= '9');
    const double number = strtod(text, &end);
    const char *letter = *end ? strchr(letters, *end & ~0x20) : NULL;
    const double unit = letter ? exp2(10 * (double)(letter - letters + 1)) : 1,
                 wanted = number * unit;
    CHECK(fabs((double)bytes - wanted) <= 1 + 1e-6 * unit + 1e-15 * wanted);
    CHECK(strlen(lort_print_size(bytes, shown, sizeof shown)) > 0);
}

/* row[j]: the pattern so far matches the first j bytes of the name. */
static bool matches(const char *pattern, const char *name)
{
    bool row[GLOB_MOST + 1] = {true}, next[GLOB_MOST + 1];
    const size_t n = strlen(name);
    for (; *pattern; pattern++) {
        next[0] = *pattern == '*' && row[0];
        for (size_t j = 1; j <= n; j++)
            next[j] = *pattern == '*' ? row[j] || next[j - 1]
                                      : row[j - 1] && (*pattern == '?' || *pattern == name[j - 1]);
        memcpy(row, next, sizeof row);
    }
    return row[n];
}

static void check_glob(const char *pattern, const char *name)
{
    if (strlen(pattern) > GLOB_MOST || strlen(name) > GLOB_MOST)
        return;
    CHECK(lort_glob(pattern, name) == matches(pattern, name));
    CHECK(lort_glob("*", name) && (strpbrk(name, "*?") || lort_glob(name, name)));
}

static void check_kind(const char *name)
{
    const unsigned kind = lort_kind_of(name);
    CHECK(kind < 32 && lort_kind_name(kind) && lort_kind_get(name)->name == lort_kind_name(kind));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input in = {data, size};
    const unsigned what = input_u8(&in) % 3;
    char *text = (char *)malloc(in.left + 2);
    CHECK(text);
    if (in.left)
        memcpy(text, in.at, in.left);
    memset(text + in.left, 0, 2);
    if (what == 0)
        check_size(text);
    else if (what == 1)
        check_glob(text, text + strlen(text) + 1);
    else
        check_kind(text);
    free(text);
    return 0;
}
