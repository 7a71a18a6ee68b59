/* token: the user's token of the Hub. No message ever has it. */
#ifndef LORT_LOADER_REMOTE_TOKEN_H
#define LORT_LOADER_REMOTE_TOKEN_H

#include "formats/base/error.h"

#define LORT_TOKEN_MAX 1024u /* bytes with the NUL; those of the Hub have 37 */

/* Finds the token: the variable HF_TOKEN, then HUGGING_FACE_HUB_TOKEN, the file HF_TOKEN_PATH, the
 * file HF_HOME/token. HF_HOME is XDG_CACHE_HOME/huggingface or ~/.cache/huggingface where it is not
 * set. Empty variables count as not set. Drops white space around the token. out: "" if there is
 * none, or if HF_HUB_DISABLE_IMPLICIT_TOKEN is true.
 * On failure: LORT_E_USAGE if the token has characters that no token has. */
lort_code lort_token_find(char out[LORT_TOKEN_MAX], lort_error *err);

#endif
