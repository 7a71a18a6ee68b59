/* plain_path: the rule for relative paths that come from inside a file. This code opens no file. */
#ifndef LORT_FORMATS_BASE_PLAIN_PATH_H
#define LORT_FORMATS_BASE_PLAIN_PATH_H

#include "formats/base/plain_name.h"

/* docs/FORMAT.md, section 5. Windows and Linux open longer paths, but not below a long directory.
 */
#define LORT_PLAIN_PATH_MAX 1024u /* bytes */
#define LORT_PLAIN_PATH_DEPTH 16u /* names in a path, the file's own included */

/* Checks that a path is 1 to LORT_PLAIN_PATH_DEPTH plain names with one '/' between two of them, in
 * at most LORT_PLAIN_PATH_MAX bytes. So it is relative, has no "..", and no empty name.
 * On failure: LORT_E_INPUT; the message says which rule the path breaks. */
lort_code lort_plain_path(const char *path, uint64_t bytes, lort_error *err);
/* Bytes of the folder in which the file of the path lies, without the last '/'. 0: no folder. */
uint32_t lort_path_folder(const char *path);
/* The file's own name, behind the last '/'. */
const char *lort_path_base(const char *path);
/* True if both files lie in the same folder. */
bool lort_path_same_folder(const char *a, const char *b);
/* True if the file lies in the folder, or in a folder below it. */
bool lort_path_inside(const char *path, const char *folder, uint32_t folder_bytes);
#endif
