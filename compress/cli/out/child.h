/* child: runs a command of the user, and passes it the signals that come meanwhile. */
#ifndef LORT_COMPRESS_CLI_OUT_CHILD_H
#define LORT_COMPRESS_CLI_OUT_CHILD_H

#include "compress/lort.h"

#define LORT_CLI_NO_RUN 126    /* the command exists and cannot be run */
#define LORT_CLI_NOT_FOUND 127 /* there is no such command */

/* Looks for a command as the shell does. Returns 0, or one of the two codes above with LORT_E_USAGE
 * in err. */
int lort_cli_child_find(const char *name, lort_error *err);
/* A copy of words with `path` in place of each {} in words[1..]; ends with NULL. One block of
 * memory, which the caller frees with free. NULL without memory. *places (may be NULL): how many.
 */
char **lort_cli_child_words(char **words, const char *path, unsigned *places);
/* Runs a command and waits for its end. SIGINT, SIGTERM, SIGHUP and SIGQUIT go on to it, unless
 * they came from the terminal, which reaches it too. Returns its exit code; 128 + N if signal N
 * ended it, with a message. */
int lort_cli_child_run(char **words);

#endif
