/* journal: notes beside an unfinished output, "NAME.part.journal", so that a later run can go on
 * with it. The first note is a key: all that decides bytes, and how the input files looked. What is
 * finished of the output is told by the output itself (compress/write/resume.h); what is not in it
 * stands here: curves of the first reading under a target for the size, and figures of finished
 * tensors.
 *
 *   note = u32 kind | u32 bytes of the body | u64 number | body | u64 XXH64 of all that; what
 * follows a torn note does not count */
#ifndef LORT_COMPRESS_WRITE_JOURNAL_H
#define LORT_COMPRESS_WRITE_JOURNAL_H

#include "compress/plan/plan.h"
#include "compress/slice/decide.h"
#include "loader/store/publish.h"

typedef struct lort_journal lort_journal;

typedef enum lort_note_kind {
    LORT_NOTE_KEY = 0,     /* text: label TAB value, a line each */
    LORT_NOTE_CURVE = 1,   /* number: of the job. compress/write/shares.c */
    LORT_NOTE_SHARES = 2,  /* hash of all shares; number: bytes they leave unused */
    LORT_NOTE_FIGURES = 3, /* number: of the extent. compress/write/resume.c */
    LORT_NOTE_BAD = 4      /* the output's last sync failed */
} lort_note_kind;

typedef enum lort_journal_state {
    LORT_JOURNAL_FRESH, /* nothing to go on with */
    LORT_JOURNAL_SAME,  /* notes and unfinished output are of this run's key */
    /* the same, but for modification times, or without a key, or with a sync that failed: what was
       finished must be compared with the input again */
    LORT_JOURNAL_TOUCHED
} lort_journal_state;

/* publish: resumable, just begun. Unfinished work with another key: where `resume` is asked for,
 * the first difference is an error (LORT_E_READ: of the input, else LORT_E_USAGE); else it is
 * dropped with a warning. */
lort_code lort_journal_open(const lort_decider *decider, const lort_work_plan *plan,
                            lort_publish *publish, lort_journal **out, lort_error *err);
lort_journal_state lort_journal_get_state(const lort_journal *journal); /* of NULL: FRESH */
/* Hands on the notes an earlier run left, in order. Journal NULL, or FRESH: none. */
typedef lort_code lort_note_fn(void *ctx, uint64_t number, const uint8_t *body, uint64_t bytes,
                               lort_error *err);
lort_code lort_journal_each(const lort_journal *journal, lort_note_kind kind, lort_note_fn *each,
                            void *ctx, lort_error *err);
/* Appends a note; any thread. On the disk within a second of the next note, or at close. Journal
 * NULL: nothing. */
lort_code lort_journal_note(lort_journal *journal, lort_note_kind kind, uint64_t number,
                            const lort_buffer *body, lort_error *err);
/* Unfinished work is dropped, and the journal begun again, with a warning that says why. */
lort_code lort_journal_drop(lort_journal *journal, const char *why, lort_error *err);
/* The output's last sync failed: noted, so that who goes on writes what he adopts again. */
lort_code lort_journal_distrust(lort_journal *journal, lort_error *err);
/* What was left has been read and holds for the input as it is: a TOUCHED journal is written again
 * under this run's key. Ends what each() hands on. */
lort_code lort_journal_settle(lort_journal *journal, lort_error *err);
/* True if there is work in it that no output holds. */
bool lort_journal_worth(const lort_journal *journal);
/* Before the output gets its name: removes the notes. */
lort_code lort_journal_remove(lort_journal *journal, lort_error *err);
/* keep: the notes stay, synced; else they are removed. Accepts NULL. */
void lort_journal_close(lort_journal *journal, bool keep);

#endif
