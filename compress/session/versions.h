/* versions: names of this program and of the libraries it runs with. */
#ifndef LORT_COMPRESS_SESSION_VERSIONS_H
#define LORT_COMPRESS_SESSION_VERSIONS_H

#include <stddef.h>

#define LORT_LIBRARIES_TEXT 160 /* bytes that hold any */
/* The libraries that decide bytes: "OpenBLAS 0.3.21 core Haswell; zstd 1.5.4", cut at `room`. */
void lort_library_versions(char *out, size_t room);

#endif
