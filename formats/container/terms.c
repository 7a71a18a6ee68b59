/* terms: see terms.h. */
#include "formats/container/terms.h"
#include <stddef.h>

static const lort_term_info terms[LORT_TERM_KINDS] = {
    [LORT_TERM_RAW] = {.name = "raw term"},
    [LORT_TERM_FACTORS] = {.name = "factors", .two_sided = true, .exponents = true},
    [LORT_TERM_INTEGERS] = {.name = "integers", .steps = true, .blocks = true},
    [LORT_TERM_BASE] = {.name = "base", .base = true},
    [LORT_TERM_TERNARY] = {.name = "trits", .two_sided = true, .blocks = true},
    [LORT_TERM_OUTLIERS] = {.name = "outliers", .two_sided = true},
};

static const lort_array_info arrays[] = {
    [LORT_ARRAY_RAW] = {LORT_TERM_RAW, false, false},
    [LORT_ARRAY_LEFT] = {LORT_TERM_FACTORS, false, false},
    [LORT_ARRAY_RIGHT] = {LORT_TERM_FACTORS, true, false},
    [LORT_ARRAY_CODES] = {LORT_TERM_INTEGERS, false, false},
    [LORT_ARRAY_BLOCKS] = {LORT_TERM_INTEGERS, false, true},
    [LORT_ARRAY_SCALES] = {LORT_TERM_TERNARY, false, false},
    [LORT_ARRAY_TRITS] = {LORT_TERM_TERNARY, true, false},
    [LORT_ARRAY_PLACES] = {LORT_TERM_OUTLIERS, true, false},
    [LORT_ARRAY_OUTLIERS] = {LORT_TERM_OUTLIERS, false, false},
};

const lort_term_info *lort_term_get(uint32_t kind)
{
    return kind < LORT_TERM_KINDS && terms[kind].name ? &terms[kind] : NULL;
}

const lort_array_info *lort_array_get(uint32_t id) { return &arrays[id >> 24]; }
