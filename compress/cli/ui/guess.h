/* guess: names that a user may have meant by a word that LoRT does not know. */
#ifndef LORT_COMPRESS_CLI_UI_GUESS_H
#define LORT_COMPRESS_CLI_UI_GUESS_H

#include <stdbool.h>
#include <stddef.h>

#define LORT_CLI_GUESSES 8

typedef struct lort_cli_guess {
    const char *word; /* what the user typed */
    size_t bytes;     /* of it: the value behind "=" does not count */
    unsigned best;    /* distance of the names */
    unsigned count;
    const char *names[LORT_CLI_GUESSES];
} lort_cli_guess;

/* The changes that turn one word into the other: a letter more, less or another one, or two
 * neighbours exchanged. Only the first 31 bytes count. */
unsigned lort_cli_distance(const char *a, size_t a_bytes, const char *b);

/* Begins to guess a word. */
void lort_cli_guess_open(lort_cli_guess *guess, const char *word);
/* Takes the name if it is near the word, and nearer than or as near as the names so far. */
void lort_cli_guess_add(lort_cli_guess *guess, const char *name);
/* Writes " (did you mean A, B?)", or "" if no name is near. before: what stands in front of a name,
 * such as "--". Returns out. */
const char *lort_cli_guess_text(const lort_cli_guess *guess, const char *before, char *out,
                                size_t cap);

#endif
