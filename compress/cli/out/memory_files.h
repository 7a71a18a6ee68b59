/* memory_files: restored files that stay in memory, and the path by which a command finds them.
 *
 *     one file         /proc/self/fd/N, which the command inherits
 *     several files    a private folder of links NAME -> /proc/PID/fd/N, PID being this process
 */
#ifndef LORT_COMPRESS_CLI_OUT_MEMORY_FILES_H
#define LORT_COMPRESS_CLI_OUT_MEMORY_FILES_H

#include "compress/lort.h"

typedef struct lort_cli_memory_file {
    char *name;
    int fd;
} lort_cli_memory_file;

typedef struct lort_cli_memory_files {
    lort_restore_sink sink;
    lort_cli_memory_file *files;
    unsigned count;
    char *folder; /* NULL: none was made */
    char *path;   /* for the command; NULL until lort_cli_memory_files_offer */
} lort_cli_memory_files;

/* Begins with no file. Must stay where it is while the sink is in use. */
void lort_cli_memory_files_open(lort_cli_memory_files *files);
/* Seals the files: nobody can change their bytes or sizes again. Then makes `path`, with the folder
 * if it takes one: that of the folder, or of the first shard of a GGUF model.
 * On failure: LORT_E_WRITE, LORT_E_MEMORY. */
lort_code lort_cli_memory_files_offer(lort_cli_memory_files *files, lort_error *err);
/* Removes the folder and closes the files. A folder into which somebody put other files stays, and
 * a message says so. */
void lort_cli_memory_files_close(lort_cli_memory_files *files);

#endif
