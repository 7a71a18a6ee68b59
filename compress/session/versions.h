/* versions: names and versions of LoRT and of its libraries. */
#ifndef LORT_COMPRESS_SESSION_VERSIONS_H
#define LORT_COMPRESS_SESSION_VERSIONS_H

#include "compress/session/json_tree.h"
#include <stdbool.h>
#include <stddef.h>

#define LORT_LIBRARIES_TEXT 160 /* bytes: enough for any text */
/* Writes the libraries that decide the bytes of a container, such as "OpenBLAS 0.3.21 core Haswell;
 * zstd 1.5.4". OpenBLAS is named if products decide bytes, by the class of its core: the text is
 * equal wherever the bytes are. out has `room` bytes; a longer text is cut. */
void lort_library_versions(bool products, char *out, size_t room);
/* The versions of LoRT and of its libraries, by name, for the JSON report. Each of them may decide
 * bytes or speed. */
lort_node *lort_versions_node(void);

#endif
