/* place: what tells two names of one file from two files. */
#ifndef LORT_COMPRESS_CLI_CONSOLE_PLACE_H
#define LORT_COMPRESS_CLI_CONSOLE_PLACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LORT_PLACE_PATH 4096 /* bytes of a path with its NUL, at most */
#define LORT_PLACE_NAME 1024 /* bytes of a name with its NUL: Linux has 256, Windows 766 */

typedef struct lort_identity {
    bool known;
    uint64_t device, inode;
} lort_identity;

/* The file or directory that the path leads to; links are followed. */
lort_identity lort_place_identity(const char *path);
/* The regular file that standard output is; not known if it is anything else. */
lort_identity lort_place_stdout(void);
bool lort_place_is_directory(const char *path);

/* Makes / the only separator of a path, as messages and reports have it: they escape \. */
void lort_place_spell(char *path);
/* Writes the path so that only / separates its parts: as it is, or on Windows from its drive on.
 * These functions return false if the path is too long or leads nowhere. */
bool lort_place_plain(const char *path, char out[LORT_PLACE_PATH]);
/* The same without links, "." and "..". Everything on the path must exist. */
bool lort_place_real(const char *path, char out[LORT_PLACE_PATH]);
/* The text of the symbolic link. On Windows always false: other functions follow links. */
bool lort_place_link(const char *path, char out[LORT_PLACE_PATH]);
/* True for a path of lort_place_plain that begins at the root. */
bool lort_place_is_absolute(const char *plain);
/* True if a directory takes the two for one name. */
bool lort_place_same_name(const char *a, const char *b);

/* Calls `hit` for each file of the directory but hidden ones, until it returns true. Returns that.
 */
bool lort_place_any(const char *directory,
                    bool (*hit)(void *ctx, const char *name, const lort_identity *file), void *ctx);

#endif
