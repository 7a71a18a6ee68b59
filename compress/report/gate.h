/* gate: whether a text is JSON that jansson can read. jansson tells no difference between a failed
 * allocation and a fault of the text, so a text passes here first, without an allocation. */
#ifndef LORT_COMPRESS_REPORT_GATE_H
#define LORT_COMPRESS_REPORT_GATE_H

#include "formats/base/error.h"
#include <stdint.h>

/* On failure: LORT_E_INPUT, with the offset: no JSON, deeper than 64 levels, a number that no 64
 * bits hold, or a text with a NUL. */
lort_code lort_page_gate(const void *text, uint64_t n, lort_error *err);

#endif
