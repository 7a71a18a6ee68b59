/* date: dates of HTTP, as seconds since 1970 in UTC. This code reads no clock. */
#ifndef LORT_LOADER_HTTP_DATE_H
#define LORT_LOADER_HTTP_DATE_H

#include <stdbool.h>
#include <stdint.h>

/* Reads the three forms of RFC 9110, 5.6.7: "Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94
 * 08:49:37 GMT" and "Sun Nov  6 08:49:37 1994". Returns false for another text. */
bool lort_date_http(const char *text, int64_t *out);
/* Reads "19941106T084937Z", the form of signed addresses. Other bytes may follow. */
bool lort_date_basic(const char *text, int64_t *out);

#endif
