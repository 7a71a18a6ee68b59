/* plain_name: the rule for file names that come from inside a file. This code opens no file. */
#ifndef LORT_FORMATS_BASE_PLAIN_NAME_H
#define LORT_FORMATS_BASE_PLAIN_NAME_H

#include "formats/base/error.h"
#include <stdbool.h>
#include <stdint.h>

#define LORT_PLAIN_NAME_MAX 255u /* bytes (docs/FORMAT.md, section 5) */

/* Checks that a name is a plain file name: 1 to 255 bytes of valid UTF-8. It has no '/', '\\', ':'
 * and no control character. It is not "." and does not begin with "..". It does not end with a dot
 * or a space. It is not the name of a Windows device. On failure: LORT_E_INPUT; the message says
 * which rule the name breaks. */
lort_code lort_plain_name(const char *name, uint64_t bytes, lort_error *err);
/* The rule that the name breaks, as words that follow the name, such as "is empty". NULL: none. */
const char *lort_plain_name_fault(const char *name, uint64_t bytes);
/* Makes a plain name of any name: `_` stands for each byte that it may not have. `_` also stands
 * for the first byte of "..x" and of a device name, and for a dot or space at the end. A longer
 * name is cut. lead: `_` in front, for a caller that needs another name. A plain name stays as it
 * is. */
void lort_plain_name_make(const char *name, uint32_t lead, char out[LORT_PLAIN_NAME_MAX + 1]);
#endif
