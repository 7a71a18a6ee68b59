/* journal: see journal.h. LoRT reads notes from the file one by one. So a journal of any length
 * takes one small buffer. journal_key makes the key. */
#include "compress/task/keys.h"
#include "compress/write/journal_key.h"
#include "formats/base/bytes.h"
#include "loader/os/os.h"
#include <stdio.h>
#include <string.h>

/* Bytes of a note before and behind its body. */
#define NOTE_HEAD 16u
#define NOTE_TAIL 8u
#define BODY_MAX (64u << 20) /* for a key of very many files; other notes are small */
/* The least time between two fsyncs of notes. */
#define SYNC_NS 1000000000u

struct lort_journal {
    lort_session *session;
    lort_publish *publish;
    lort_arena arena; /* holds the name */
    lort_dir *dir;    /* belongs to publish */
    const char *name;
    lort_file *file;
    lort_mutex *mutex;
    lort_journal_state state;
    lort_buffer key;
    uint64_t first, end; /* in the file: notes of an earlier run, behind the key */
    uint64_t size, synced_ns;
    bool sized;         /* the target is a size: finished parts were made within shares */
    bool worth, marked; /* marked: this run wrote a TOUCHED note */
};

/* ---- notes ---- */

typedef struct note {
    uint32_t kind;
    uint64_t number, bytes; /* of the body */
    lort_buffer whole;      /* the note as in the file */
} note;

/* Reads the note at `at`. *good is false if there is no whole note. out->whole keeps its room for
 * the next note. */
static lort_code read_note(const lort_journal *j, uint64_t at, uint64_t end, note *out, bool *good,
                           lort_error *err)
{
    uint8_t head[NOTE_HEAD];
    *good = false;
    if (end - at < NOTE_HEAD + NOTE_TAIL)
        return LORT_OK;
    lort_code code = lort_os_read(j->file, head, sizeof head, at, err);
    out->kind = lort_load_u32(head);
    out->bytes = lort_load_u32(head + 4);
    out->number = lort_load_u64(head + 8);
    if (code || out->bytes > BODY_MAX || out->bytes > end - at - NOTE_HEAD - NOTE_TAIL)
        return code;
    out->whole.size = 0;
    lort_put_zeros(&out->whole, NOTE_HEAD + out->bytes + NOTE_TAIL);
    code = lort_buffer_check(&out->whole, err);
    if (code == LORT_OK)
        code = lort_os_read(j->file, out->whole.data, out->whole.size, at, err);
    if (code == LORT_OK)
        *good = lort_xxh64(out->whole.data, NOTE_HEAD + out->bytes) ==
                lort_load_u64(out->whole.data + NOTE_HEAD + out->bytes);
    return code;
}

/* The beginning of a journal is on the disk before the rest: it proves that LoRT made the file. */
static lort_code write_note(lort_journal *j, const lort_buffer *whole, lort_error *err)
{
    uint64_t first = 0;
    lort_code code = lort_publish_check(j->publish, err); /* another writer may have come */
    if (code == LORT_OK && j->size == 0) {
        first = whole->size < LORT_OWN_BEGIN ? whole->size : LORT_OWN_BEGIN;
        code = lort_own_begin(j->file, whole->data, first, err);
    }
    if (code == LORT_OK && whole->size > first)
        code =
            lort_os_write(j->file, whole->data + first, whole->size - first, j->size + first, err);
    if (code == LORT_OK)
        j->size += whole->size;
    return code;
}

static lort_code append_note(lort_journal *j, lort_note_kind kind, uint64_t number,
                             const uint8_t *body, uint64_t bytes, lort_error *err)
{
    lort_buffer whole = {.alloc = j->key.alloc};
    lort_put_u32(&whole, (uint32_t)kind);
    lort_put_u32(&whole, (uint32_t)bytes);
    lort_put_u64(&whole, number);
    lort_put_bytes(&whole, body, bytes);
    if (whole.error.code == LORT_OK)
        lort_put_u64(&whole, lort_xxh64(whole.data, whole.size));
    lort_code code = lort_buffer_check(&whole, err);
    if (code == LORT_OK)
        code = write_note(j, &whole, err);
    lort_buffer_free(&whole);
    return code;
}

static lort_code sync_notes(lort_journal *j, lort_error *err)
{
    lort_code code = lort_os_sync(j->file, err);
    j->synced_ns = lort_os_clock_ns();
    return code;
}

/* Begins a journal that has only the key. The key and the names of both files are on the disk
 * before any work counts. */
static lort_code begin_journal(lort_journal *j, lort_error *err)
{
    j->size = j->first = j->end = 0;
    j->worth = false;
    lort_code code = append_note(j, LORT_NOTE_KEY, 0, j->key.data, j->key.size, err);
    if (code == LORT_OK)
        code = sync_notes(j, err);
    return code ? code : lort_os_dir_sync(j->dir, err);
}

static lort_code compare_keys(const lort_journal *j, const note *n, bool *touched, lort_error *err)
{
    return lort_key_compare(lort_publish_partial(j->publish),
                            (lort_key){(const char *)n->whole.data + NOTE_HEAD, n->bytes},
                            lort_journal_get_key(j), false, touched, err);
}

/* Sets the state by one note after the other. *bad: a sync failed since the last key. */
static lort_code judge_note(lort_journal *j, const note *n, bool *bad, lort_error *err)
{
    bool touched = false;
    lort_code code = LORT_OK;
    if (n->kind == LORT_NOTE_KEY) {
        code = compare_keys(j, n, &touched, err);
        j->state = touched ? LORT_JOURNAL_TOUCHED : LORT_JOURNAL_SAME;
        *bad = false;
    } else if (n->kind == LORT_NOTE_BAD || n->kind == LORT_NOTE_TOUCHED) {
        *bad |= n->kind == LORT_NOTE_BAD;
        j->state = LORT_JOURNAL_TOUCHED;
    } else
        j->worth = true;
    return code;
}

/* Judges the notes from the first key on, finds the end of the valid ones, and cuts the file
 * there. */
static lort_code scan_notes(lort_journal *j, note *n, uint64_t bytes, lort_error *err)
{
    bool good = true, bad = false;
    lort_code code = LORT_OK;
    for (j->end = 0; code == LORT_OK && good; j->end += good ? n->whole.size : 0) {
        code = read_note(j, j->end, bytes, n, &good, err);
        if (code == LORT_OK && good)
            code = judge_note(j, n, &bad, err);
    }
    if (code)
        return code;
    if (bad)
        lort_publish_distrust(j->publish);
    j->size = j->end;
    return lort_os_truncate(j->file, j->end, err);
}

/* Reads the key of an earlier run: sets the state, or returns the difference as an error. */
static lort_code judge_key(lort_journal *j, note *n, lort_error *err)
{
    lort_file_info info;
    bool good;
    lort_code code = lort_os_info(j->file, &info, err);
    if (code == LORT_OK)
        code = read_note(j, 0, info.size, n, &good, err);
    if (code)
        return code;
    if (!good || n->kind != LORT_NOTE_KEY) {
        /* Without notes nobody knows within which shares the parts were made. */
        j->state =
            lort_journal_has_work(j) && !j->sized ? LORT_JOURNAL_TOUCHED : LORT_JOURNAL_FRESH;
        return LORT_OK;
    }
    j->first = n->whole.size;
    return scan_notes(j, n, info.size, err);
}

static lort_code begin_both(lort_journal *j, lort_error *err)
{
    lort_code code = lort_publish_drop(j->publish, err);
    j->state = LORT_JOURNAL_FRESH;
    return code ? code : begin_journal(j, err);
}

lort_code lort_journal_drop(lort_journal *j, const char *why, lort_error *err)
{
    lort_session_warn(j->session, "%s; begun again", why);
    return begin_both(j, err);
}

/* Without --resume this run replaces work that has another key. */
static lort_code start_journal(lort_journal *j, bool resume, lort_error *err)
{
    lort_error found = {0};
    note n = {.whole.alloc = j->key.alloc};
    lort_code code = judge_key(j, &n, &found);
    lort_buffer_free(&n.whole);
    if ((code == LORT_E_USAGE || code == LORT_E_READ) && !resume)
        return lort_journal_drop(j, found.message, err);
    if (code && err)
        *err = found;
    return code || j->state != LORT_JOURNAL_FRESH ? code : begin_both(j, err);
}

/* A journal begins with its key, and the key with this line. */
static bool begins_as_journal(const uint8_t *head, uint64_t n)
{
    static const char first[] = "algorithm\t";
    uint8_t wanted[NOTE_HEAD + sizeof first - 1] = {0};
    if (n > 4) /* the length of the key is free */
        memcpy(wanted + 4, head + 4, n < 8 ? (size_t)n - 4 : 4);
    memcpy(wanted + NOTE_HEAD, first, sizeof first - 1);
    return lort_own_resembles(head, wanted, n < sizeof wanted ? n : sizeof wanted);
}

static lort_code name_file(lort_journal *j, lort_error *err)
{
    void *text;
    const char *partial = lort_publish_partial(j->publish);
    const size_t room = strlen(partial) + sizeof ".journal";
    lort_code code = lort_arena_take(&j->arena, room, &text, err);
    if (code == LORT_OK)
        snprintf(text, room, "%s.journal", partial);
    j->name = text;
    return code;
}

/* Opens the file of the journal, or makes one. */
static lort_code open_file(lort_journal *j, const lort_journal_run *run, lort_error *err)
{
    lort_code code = lort_own_open(j->dir, j->name, begins_as_journal, &j->file, err);
    if (code == LORT_OK && !j->file && run->anonymous && lort_publish_found(j->publish)) {
        lort_publish_keep(j->publish, true);
        return lort_own_refuse(j->dir, lort_publish_partial(j->publish),
                               "there is no journal of LoRT beside it", err);
    }
    if (code == LORT_OK && !j->file)
        code = lort_os_create(j->dir, j->name, 0600, &j->file, err);
    return code;
}

lort_code lort_journal_open(const lort_journal_run *run, lort_publish *publish, lort_journal **out,
                            lort_error *err)
{
    const lort_alloc *alloc = &run->session->alloc;
    void *memory;
    *out = NULL;
    lort_code code = lort_take_zero(alloc, sizeof(lort_journal), "the journal", &memory, err);
    if (code)
        return code;
    lort_journal *j = memory;
    *j = (lort_journal){.session = run->session,
                        .publish = publish,
                        .arena.alloc = alloc,
                        .key.alloc = alloc,
                        .dir = lort_publish_dir(publish),
                        .sized = run->sized};
    code = name_file(j, err);
    if (code == LORT_OK)
        code = lort_os_mutex_open(&j->mutex, err);
    if (code == LORT_OK)
        code = lort_journal_key(run, &j->key, err);
    if (code == LORT_OK)
        code = open_file(j, run, err);
    if (code == LORT_OK)
        code = start_journal(j, run->resume, err);
    if (code)
        lort_journal_close(j, lort_publish_stays(publish));
    else
        *out = j;
    return code;
}

lort_journal_state lort_journal_get_state(const lort_journal *j)
{
    return j ? j->state : LORT_JOURNAL_FRESH;
}
lort_key lort_journal_get_key(const lort_journal *j)
{
    return (lort_key){(const char *)j->key.data, j->key.size};
}
bool lort_journal_worth(const lort_journal *j) { return j && j->worth; }
bool lort_journal_has_work(const lort_journal *j)
{
    return j && lort_publish_found(j->publish) > 0;
}

lort_code lort_journal_each(const lort_journal *j, lort_note_kind kind, lort_note_fn *each,
                            void *ctx, lort_error *err)
{
    bool good = true;
    lort_code code = LORT_OK;
    if (!j || j->state == LORT_JOURNAL_FRESH)
        return LORT_OK;
    note n = {.whole.alloc = j->key.alloc};
    for (uint64_t at = j->first; at < j->end && code == LORT_OK && good; at += n.whole.size) {
        code = read_note(j, at, j->end, &n, &good, err);
        if (code == LORT_OK && good && n.kind == (uint32_t)kind)
            code = each(ctx, n.number, n.whole.data + NOTE_HEAD, n.bytes, err);
    }
    lort_buffer_free(&n.whole);
    return code;
}

lort_code lort_journal_note(lort_journal *j, lort_note_kind kind, uint64_t number,
                            const lort_buffer *body, lort_error *err)
{
    if (!j)
        return LORT_OK;
    lort_code code = lort_buffer_check(body, err);
    if (code)
        return code;
    lort_os_lock_mutex(j->mutex);
    if (j->state == LORT_JOURNAL_TOUCHED && !j->marked) {
        code = append_note(j, LORT_NOTE_TOUCHED, 0, NULL, 0, err);
        j->marked = code == LORT_OK;
    }
    if (code == LORT_OK)
        code = append_note(j, kind, number, body->data, body->size, err);
    j->worth = true;
    /* Shares are on the disk before a part that is made within them. */
    if (code == LORT_OK &&
        (kind == LORT_NOTE_SHARES || lort_os_clock_ns() - j->synced_ns >= SYNC_NS))
        code = sync_notes(j, err);
    lort_os_unlock_mutex(j->mutex);
    return code;
}

void lort_journal_revert(lort_journal *j)
{
    if (j && j->state == LORT_JOURNAL_TOUCHED && j->size > j->end &&
        lort_os_truncate(j->file, j->end, NULL) == LORT_OK)
        j->size = j->end;
}

lort_code lort_journal_distrust(lort_journal *j, lort_error *err)
{
    lort_code code = append_note(j, LORT_NOTE_BAD, 0, NULL, 0, err);
    return code ? code : sync_notes(j, err);
}

lort_code lort_journal_settle(lort_journal *j, lort_error *err)
{
    lort_code code = LORT_OK;
    if (j && j->state == LORT_JOURNAL_TOUCHED && j->first == 0)
        code = begin_journal(j, err); /* there was no key */
    else if (j && j->state == LORT_JOURNAL_TOUCHED) {
        code = append_note(j, LORT_NOTE_KEY, 0, j->key.data, j->key.size, err);
        code = code ? code : sync_notes(j, err);
    }
    if (j)
        j->state = LORT_JOURNAL_FRESH;
    return code;
}

lort_code lort_journal_remove(lort_journal *j, lort_error *err)
{
    lort_code code = lort_publish_check(j->publish, err);
    if (code == LORT_OK)
        code = lort_own_remove(j->dir, j->name, j->file, err);
    lort_code closed = lort_os_close(j->file, code ? NULL : err);
    j->file = NULL;
    return code ? code : closed;
}

void lort_journal_close(lort_journal *j, bool keep)
{
    if (!j)
        return;
    if (j->file && keep)
        lort_os_sync(j->file, NULL);
    else if (j->file)
        lort_own_remove(j->dir, j->name, j->file, NULL);
    lort_os_close(j->file, NULL);
    lort_os_mutex_close(j->mutex);
    lort_buffer_free(&j->key);
    lort_arena_free(&j->arena);
    lort_give(&j->session->alloc, j, sizeof *j);
}
