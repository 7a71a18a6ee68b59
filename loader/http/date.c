/* date: see date.h. */
#include "loader/http/date.h"
#include <stdio.h>
#include <string.h>

typedef struct moment {
    int year, month, day, hour, minute, second; /* month: 1 to 12 */
} moment;

/* Days from 1970-01-01, by years that begin in March, so that a leap day is the last of its year.
 */
static int64_t count_days(int year, int month, int day)
{
    const int64_t y = month > 2 ? year : year - 1;
    const int64_t in_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    return y * 365 + y / 4 - y / 100 + y / 400 + in_year - 719468;
}

static bool to_seconds(const moment *m, int64_t *out)
{
    if (m->year < 1601 || m->year > 9999 || m->month < 1 || m->month > 12 || m->day < 1 ||
        m->day > 31 || m->hour < 0 || m->hour > 23 || m->minute < 0 || m->minute > 59 ||
        m->second < 0 || m->second > 60)
        return false;
    *out =
        ((count_days(m->year, m->month, m->day) * 24 + m->hour) * 60 + m->minute) * 60 + m->second;
    return true;
}

static int month_of(const char *name)
{
    static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    for (int i = 0; i < 12; i++)
        if (strncmp(names + 3 * (size_t)i, name, 3) == 0)
            return i + 1;
    return 0;
}

bool lort_date_http(const char *text, int64_t *out)
{
    moment m;
    char month[4] = "", zone[4] = "";
    *out = 0;
    if (sscanf(text, "%*3[A-Za-z], %2d %3[A-Za-z] %4d %2d:%2d:%2d %3s", &m.day, month, &m.year,
               &m.hour, &m.minute, &m.second, zone) != 7 &&
        (sscanf(text, "%*9[A-Za-z], %2d-%3[A-Za-z]-%2d %2d:%2d:%2d %3s", &m.day, month, &m.year,
                &m.hour, &m.minute, &m.second, zone) != 7 ||
         (m.year += m.year < 70 ? 2000 : 1900) == 0)) {
        strcpy(zone, "GMT"); /* the third form has none */
        if (sscanf(text, "%*3[A-Za-z] %3[A-Za-z] %2d %2d:%2d:%2d %4d", month, &m.day, &m.hour,
                   &m.minute, &m.second, &m.year) != 6)
            return false;
    }
    m.month = month_of(month);
    return strcmp(zone, "GMT") == 0 && to_seconds(&m, out);
}

bool lort_date_basic(const char *text, int64_t *out)
{
    moment m;
    char zone;
    *out = 0;
    return sscanf(text, "%4d%2d%2dT%2d%2d%2d%c", &m.year, &m.month, &m.day, &m.hour, &m.minute,
                  &m.second, &zone) == 7 &&
           zone == 'Z' && to_seconds(&m, out);
}
