/* stamp: see stamp.h. The standard library has gmtime, but its header is one of the operating
 * system. The days are counted from 1 March of year 0, so that the leap day is the last of a year
 * (Hinnant, "chrono-Compatible Low-Level Date Algorithms"). */
#include "compress/report/stamp.h"
#include <inttypes.h>
#include <stdio.h>

#define DAYS_TO_1970 719468 /* from 0000-03-01 */
#define DAYS_OF_ERA 146097  /* 400 years */

const char *lort_stamp(int64_t ns, char *out)
{
    const int64_t seconds = ns / 1000000000, day = seconds / 86400 + DAYS_TO_1970,
                  second = seconds % 86400;
    const int64_t era = day / DAYS_OF_ERA, of_era = day % DAYS_OF_ERA;
    const int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    const int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
    const int64_t month = (5 * of_year + 2) / 153; /* 0: March */
    *out = '\0';
    if (ns > 0)
        snprintf(out, LORT_STAMP_TEXT,
                 "%04" PRId64 "-%02" PRId64 "-%02" PRId64 "T%02" PRId64 ":%02" PRId64 ":%02" PRId64
                 "Z",
                 year + era * 400 + (month > 9), month < 10 ? month + 3 : month - 9,
                 of_year - (153 * month + 2) / 5 + 1, second / 3600, second / 60 % 60, second % 60);
    return out;
}
