/* journal: notes beside a partial output, in "OUT.part.journal". With them a later run can resume.
 *
 * The first note is the key: everything that decides bytes, and what tells each input file: size,
 * header hash, times, device and inode. The partial output itself says which parts are finished
 * (write/resume.h). The journal holds what the output does not: the curves of the first reading
 * under a target size, and figures of finished tensors.
 *
 * A later key stands for the earlier ones. Its run compared what the notes before it are about with
 * the input, or writes a TOUCHED note first.
 *
 *   file = note*
 *   note = u32 kind | u32 n | u64 number | u8 body[n] | u64 XXH64 of these bytes
 *
 * Integers are little-endian. A torn note ends the journal: LoRT ignores all bytes from there
 * on. */
#ifndef LORT_COMPRESS_WRITE_JOURNAL_H
#define LORT_COMPRESS_WRITE_JOURNAL_H

#include "compress/read/input.h"
#include "compress/task/keys.h"
#include "loader/store/publish.h"

typedef struct lort_journal lort_journal;

typedef enum lort_note_kind {
    LORT_NOTE_KEY = 0,     /* text, one line each: label TAB value */
    LORT_NOTE_CURVE = 1,   /* number: job; body: write/shares.c */
    LORT_NOTE_SHARES = 2,  /* number: bytes that the shares leave unused; body: their hash */
    LORT_NOTE_FIGURES = 3, /* number: extent; body: write/resume.c */
    LORT_NOTE_BAD = 4,     /* the last sync of the output failed */
    LORT_NOTE_TOUCHED = 5, /* from here on notes may be of other weights than the key's */
    LORT_NOTE_PIECE = 6,   /* number: piece; body: compress/quantize/notes.c */
    LORT_NOTE_KEEP = 7,    /* number: a tensor that holds NaN or Inf */
    LORT_NOTE_PROOF = 8    /* number: extent, finished after it; body: loader/spool/spool_proof.c */
} lort_note_kind;

typedef enum lort_journal_state {
    LORT_JOURNAL_FRESH, /* nothing to resume */
    LORT_JOURNAL_SAME,  /* notes and partial output have the key of this run */
    /* The same but for times, device or inode of a file; or there is no key, or a sync failed. LoRT
     * must compare finished parts, and curves, with the input again. */
    LORT_JOURNAL_TOUCHED
} lort_journal_state;

/* What a journal must know of its run. */
typedef struct lort_journal_run {
    lort_session *session;
    const lort_input *input;
    const lort_input *base; /* with --base; else NULL */
    /* All options that decide bytes, as words with a space before each. */
    const lort_buffer *options;
    bool products;        /* products of OpenBLAS decide bytes, so the key names it */
    bool resume;          /* --resume was given */
    bool sized;           /* the target is a size: finished parts were made within shares */
    uint32_t task, tasks; /* of a task; tasks 0: none */
    /* The beginning of the output does not tell that LoRT made it. So without a journal beside it
     * the partial output is refused (LORT_E_EXISTS), and stays. */
    bool anonymous;
} lort_journal_run;

/* Opens the journal of `publish`, a resumable output that has just begun. If unfinished work has
 * another key, --resume decides. With --resume the first difference is an error: LORT_E_READ for
 * the input, LORT_E_USAGE for options. Without it LoRT drops the work with a warning.
 *
 * Free with lort_journal_close. On failure *out is NULL. */
lort_code lort_journal_open(const lort_journal_run *run, lort_publish *publish, lort_journal **out,
                            lort_error *err);
lort_key lort_journal_get_key(const lort_journal *journal);
lort_journal_state lort_journal_get_state(const lort_journal *journal); /* NULL: FRESH */
/* Calls `each` for the notes of this kind that an earlier run left, in order. A journal that is
 * NULL or FRESH has none. */
typedef lort_code lort_note_fn(void *ctx, uint64_t number, const uint8_t *body, uint64_t bytes,
                               lort_error *err);
lort_code lort_journal_each(const lort_journal *journal, lort_note_kind kind, lort_note_fn *each,
                            void *ctx, lort_error *err);
/* Appends a note. Does nothing if the journal is NULL. The note is on the disk at close, or
 * earlier: LoRT calls fsync with a note once a second has passed since the last fsync. Threads:
 * any. */
lort_code lort_journal_note(lort_journal *journal, lort_note_kind kind, uint64_t number,
                            const lort_buffer *body, lort_error *err);
/* True if the partial output holds bytes of an earlier run. */
bool lort_journal_has_work(const lort_journal *journal);
/* Deletes the unfinished work, begins the journal again, and warns with the reason `why`. */
lort_code lort_journal_drop(lort_journal *journal, const char *why, lort_error *err);
/* Notes that the last sync of the output failed. A run that resumes then writes again all that it
 * takes over. */
lort_code lort_journal_distrust(lort_journal *journal, lort_error *err);
/* Takes back the notes that this run wrote before lort_journal_settle: it refuses the old work and
 * leaves it as it was. */
void lort_journal_revert(lort_journal *journal);
/* Call this once the old notes and parts have been read and fit the input. A TOUCHED journal gets
 * the key of this run behind its notes. After that lort_journal_each gives no notes. */
lort_code lort_journal_settle(lort_journal *journal, lort_error *err);
/* True if the journal has notes beside the key: work that the partial output does not hold. */
bool lort_journal_worth(const lort_journal *journal);
/* Removes the notes. Call this before the output gets its name. */
lort_code lort_journal_remove(lort_journal *journal, lort_error *err);
/* Closes the journal. keep: leaves the notes, synced; else removes them. Accepts NULL. */
void lort_journal_close(lort_journal *journal, bool keep);

#endif
