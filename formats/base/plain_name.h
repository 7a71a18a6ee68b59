/* plain_name: the rule for file names that come from inside a file. Nothing here opens a file. */
#ifndef LORT_FORMATS_BASE_PLAIN_NAME_H
#define LORT_FORMATS_BASE_PLAIN_NAME_H

#include "formats/base/error.h"
#include <stdbool.h>
#include <stdint.h>

#define LORT_PLAIN_NAME_MAX 255u /* bytes */

/* A plain file name: 1..255 bytes, valid UTF-8, no '/', '\\', ':', control characters, not "." or
 * "..", no leading '.' trickery such as "..", no Windows device name. LORT_E_INPUT says which rule
 * it breaks. */
lort_code lort_plain_name(const char *name, uint64_t bytes, lort_error *err);
#endif
