/* guess: see guess.h. The distance is that of Damerau and Levenshtein in its restricted form: no
 * letter is changed twice. Three rows of its table are enough. */
#include "compress/cli/ui/guess.h"
#include <stdio.h>
#include <string.h>

enum { MOST_BYTES = 31 };

static unsigned least(unsigned a, unsigned b) { return a < b ? a : b; }

unsigned lort_cli_distance(const char *a, size_t a_bytes, const char *b)
{
    unsigned rows[3][MOST_BYTES + 1];
    const size_t m = a_bytes < MOST_BYTES ? a_bytes : MOST_BYTES, length = strlen(b),
                 n = length < MOST_BYTES ? length : MOST_BYTES;
    for (size_t j = 0; j <= n; j++)
        rows[0][j] = (unsigned)j;
    for (size_t i = 1; i <= m; i++) {
        unsigned *row = rows[i % 3];
        const unsigned *above = rows[(i + 2) % 3], *two_above = rows[(i + 1) % 3];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= n; j++) {
            row[j] = least(least(above[j], row[j - 1]) + 1, above[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = least(row[j], two_above[j - 2] + 1);
        }
    }
    return rows[m % 3][n];
}

void lort_cli_guess_open(lort_cli_guess *guess, const char *word)
{
    *guess = (lort_cli_guess){.word = word, .bytes = strcspn(word, "=")};
    /* one change in three letters; a word of one or two letters is near nothing else */
    guess->best = (unsigned)(guess->bytes < MOST_BYTES ? guess->bytes : MOST_BYTES) / 3;
}

void lort_cli_guess_add(lort_cli_guess *guess, const char *name)
{
    const unsigned distance = lort_cli_distance(guess->word, guess->bytes, name);
    if (distance > guess->best)
        return;
    if (distance < guess->best)
        guess->count = 0;
    guess->best = distance;
    if (guess->count < LORT_CLI_GUESSES)
        guess->names[guess->count++] = name;
}

const char *lort_cli_guess_text(const lort_cli_guess *guess, const char *before, char *out,
                                size_t cap)
{
    size_t used = 0;
    *out = '\0';
    for (unsigned i = 0; i < guess->count && used < cap; i++)
        used += (size_t)snprintf(out + used, cap - used, "%s%s%s", i ? ", " : " (did you mean ",
                                 before, guess->names[i]);
    if (guess->count && used < cap)
        snprintf(out + used, cap - used, "?)");
    return out;
}
