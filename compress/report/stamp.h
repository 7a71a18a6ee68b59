/* stamp: a time of day as text. */
#ifndef LORT_COMPRESS_REPORT_STAMP_H
#define LORT_COMPRESS_REPORT_STAMP_H

#include <stdint.h>

#define LORT_STAMP_TEXT 32 /* bytes: enough for any text */
/* Writes nanoseconds since 1970 as "2026-12-01T12:26:03Z" to `out` and returns `out`; "" for 0,
 * which means "unknown". */
const char *lort_stamp(int64_t ns, char *out);

#endif
