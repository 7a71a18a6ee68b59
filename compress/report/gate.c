/* gate: see gate.h. */
#include "compress/report/gate.h"
#include "formats/inputs/json.h"
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define NUMBER_MOST 64 /* characters; LoRT writes at most 24 */

static bool holds_number(const char *text)
{
    if (strpbrk(text, ".eE"))
        return isfinite(strtod(text, NULL));
    errno = 0;
    (void)strtoll(text, NULL, 10);
    return errno == 0;
}

static void check_number(lort_json *json)
{
    char text[NUMBER_MOST + 1];
    if (json->text_size <= NUMBER_MOST) {
        memcpy(text, json->data + json->text, (size_t)json->text_size);
        text[json->text_size] = '\0';
        if (holds_number(text))
            return;
    }
    lort_json_fail(json, "a number is too large");
}

/* An escaped backslash before u0000 is taken for a NUL too: LoRT writes neither. */
static void check_text(lort_json *json)
{
    static const char nul[] = "\\u0000";
    const uint8_t *text = json->data + json->text;
    for (uint64_t i = 0; json->escaped && i + sizeof nul - 1 <= json->text_size; i++)
        if (memcmp(text + i, nul, sizeof nul - 1) == 0)
            lort_json_fail(json, "a text holds a NUL");
}

lort_code lort_page_gate(const void *text, uint64_t n, lort_error *err)
{
    lort_json json = lort_json_start(text, n, err);
    lort_json_token token = LORT_JSON_NULL;
    while (json.code == LORT_OK && token != LORT_JSON_END) {
        token = lort_json_next(&json);
        if (token == LORT_JSON_NUMBER)
            check_number(&json);
        else if (token == LORT_JSON_KEY || token == LORT_JSON_STRING)
            check_text(&json);
    }
    return json.code;
}
