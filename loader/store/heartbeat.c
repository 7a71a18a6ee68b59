/* heartbeat: see heartbeat.h. */
#include "loader/store/heartbeat.h"
#include "formats/base/text.h"
#include "loader/store/own.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEAD "LoRT writer\n"
#define HEAD_BYTES (sizeof HEAD - 1)
#define BEAT_BYTES (sizeof "beat \n" - 1 + 20)
#define NAME_AT (HEAD_BYTES + BEAT_BYTES)
#define MOST_BYTES 1024u
#define BEATS 6  /* beats while others watch */
#define POLLS 60 /* looks while LoRT watches */
/* A file without a name is one that its writer has just made: that takes less than a sixth. */
#define BLANK_SHARE 6
#define TRIES 100 /* attempts to make the file, while other writers come and go */
#define STACK_BYTES (64u << 10)

typedef struct sign { /* a heartbeat as in the file */
    char text[MOST_BYTES + 1];
    uint64_t bytes; /* of text */
    bool there;     /* there is a file */
} sign;

struct lort_heartbeat {
    const lort_alloc *alloc;
    lort_heartbeat_options options;
    sign own;
    uint64_t beat;
    lort_mutex *mutex; /* for beat, lost, ends, and the file */
    lort_cond *cond;
    lort_thread *thread;
    bool made;           /* the file has the own name */
    lort_file_info file; /* of the file that was made: its identity */
    bool lost, ends;
};

/* A loss of power may leave zeros in place of the bytes. */
static bool begins_as_heartbeat(const uint8_t *head, uint64_t n)
{
    static const uint8_t zeros[HEAD_BYTES];
    const size_t most = n < HEAD_BYTES ? (size_t)n : HEAD_BYTES;
    return memcmp(head, HEAD, most) == 0 || memcmp(head, zeros, most) == 0;
}

/* ---- the file ---- */

/* Opens the file for each look: a file on a network that stays open may look as it was. out_file:
 * gets the open file, for the caller to close, or NULL where there is none; may be NULL. */
static lort_code read_sign(const lort_heartbeat *h, sign *out, lort_file **out_file,
                           lort_error *err)
{
    lort_file *file;
    lort_file_info info = {0};
    *out = (sign){.bytes = 0};
    lort_code code =
        lort_own_open(h->options.dir, h->options.name, begins_as_heartbeat, &file, err);
    if (code == LORT_OK && file) {
        out->there = true;
        code = lort_os_info(file, &info, err);
    }
    if (code == LORT_OK && file) {
        out->bytes = info.size < MOST_BYTES ? info.size : MOST_BYTES;
        code = lort_os_read(file, out->text, out->bytes, 0, err);
    }
    if (out_file && code == LORT_OK)
        *out_file = file;
    else
        lort_os_close(file, NULL);
    if (code == LORT_E_READ && err)
        err->code = LORT_E_WRITE; /* the file belongs to the output */
    return code == LORT_E_READ ? LORT_E_WRITE : code;
}

static bool has_name(const sign *s)
{
    return s->bytes > NAME_AT && memcmp(s->text, HEAD, HEAD_BYTES) == 0 &&
           s->text[s->bytes - 1] == '\n';
}

/* True if both are heartbeats of one writer, whatever the beat. */
static bool same_writer(const sign *a, const sign *b)
{
    return a->bytes == b->bytes && has_name(a) && has_name(b) &&
           memcmp(a->text + NAME_AT, b->text + NAME_AT, a->bytes - NAME_AT) == 0;
}

static void put_beat(lort_heartbeat *h)
{
    char line[BEAT_BYTES + 1];
    snprintf(line, sizeof line, "beat %020" PRIu64 "\n", h->beat);
    memcpy(h->own.text + HEAD_BYTES, line, BEAT_BYTES);
}

static void put_name(lort_heartbeat *h)
{
    lort_process_name self;
    lort_os_process_name(&self);
    const int n = snprintf(h->own.text + NAME_AT, MOST_BYTES - NAME_AT,
                           "host %s\nboot %s\nspace %s\nprocess %" PRIu64 "\nstart %" PRIu64
                           "\nrun %" PRIu64 "-%" PRIu64 "\n",
                           self.host, self.boot, self.space, self.id, self.start,
                           (uint64_t)lort_os_time_ns(), lort_os_clock_ns());
    memcpy(h->own.text, HEAD, HEAD_BYTES);
    h->own.bytes = NAME_AT + (uint64_t)n;
    h->own.there = true;
    put_beat(h);
}

/* Makes the file with the own name. LORT_E_EXISTS if there is one. */
static lort_code make_file(lort_heartbeat *h, lort_error *err)
{
    lort_file *file;
    lort_code code = lort_os_create(h->options.dir, h->options.name, 0600, &file, err);
    if (code)
        return code;
    code = lort_os_write(file, h->own.text, h->own.bytes, 0, err);
    if (code == LORT_OK)
        code = lort_os_sync(file, err);
    if (code == LORT_OK)
        code = lort_os_info(file, &h->file, err);
    if (code)
        lort_own_remove(h->options.dir, h->options.name, file, NULL);
    lort_os_close(file, NULL);
    h->made = code == LORT_OK;
    return code;
}

/* ---- other writers ---- */

/* The value of a line "KEY VALUE\n" of a heartbeat. */
static void value_of(const sign *s, const char *key, char *out, size_t cap)
{
    const char *at = strstr(s->text, key);
    const char *text = at ? at + strlen(key) : "";
    const size_t n = strcspn(text, "\n");
    snprintf(out, cap, "%.*s", (int)(n < cap ? n : cap - 1), text);
}

static lort_code is_written(const lort_heartbeat *h, const sign *s, const char *how,
                            lort_error *err)
{
    char host[256] = "", process[32] = "", shown[300], place[300], where[600];
    value_of(s, "\nhost ", host, sizeof host);
    value_of(s, "\nprocess ", process, sizeof process);
    return lort_fail(err, LORT_E_EXISTS, "'%s' in '%s': %s (process %s on host %s)",
                     lort_escape_text(shown, sizeof shown, h->options.name),
                     lort_escape_text(place, sizeof place, lort_os_dir_path(h->options.dir)), how,
                     *process ? process : "unknown",
                     *host ? lort_escape_text(where, sizeof where, host) : "unknown");
}

/* What this system knows of the process that a heartbeat names. */
static lort_process_state look_at_process(const lort_heartbeat *h, const sign *s)
{
    static const char *const same[] = {"\nhost ", "\nboot ", "\nspace "};
    char theirs[256], ours[256], start[32];
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        value_of(s, same[i], theirs, sizeof theirs);
        value_of(&h->own, same[i], ours, sizeof ours);
        if (!*theirs || strcmp(theirs, ours) != 0)
            return LORT_PROCESS_UNKNOWN;
    }
    value_of(s, "\nprocess ", theirs, sizeof theirs);
    value_of(s, "\nstart ", start, sizeof start);
    return lort_os_process_state(strtoull(theirs, NULL, 10), strtoull(start, NULL, 10));
}

static void tell_wait(const lort_heartbeat *h)
{
    char text[400], shown[300];
    snprintf(text, sizeof text,
             "'%s' names a writer of another host; LoRT watches for %u s whether that writer lives",
             lort_escape_text(shown, sizeof shown, h->options.name),
             (unsigned)(h->options.watch_ms / 1000));
    if (h->options.tells)
        h->options.tells(h->options.ctx, text);
}

/* Waits, but not once the heartbeat is to end. */
static void wait_ms(lort_heartbeat *h, uint32_t ms)
{
    const uint64_t until = lort_os_clock_ns() + (uint64_t)ms * 1000000;
    lort_os_lock_mutex(h->mutex);
    for (uint64_t now = lort_os_clock_ns(); !h->ends && now < until; now = lort_os_clock_ns())
        lort_os_wait_ms(h->cond, h->mutex, (uint32_t)((until - now) / 1000000 + 1));
    lort_os_unlock_mutex(h->mutex);
}

/* LORT_OK: the heartbeat did not change for its time, or the file is gone. */
static lort_code watch(lort_heartbeat *h, const sign *first, lort_error *err)
{
    sign now;
    const uint32_t most = h->options.watch_ms / (has_name(first) ? 1 : BLANK_SHARE);
    const uint32_t pause = h->options.watch_ms / POLLS + 1;
    if (has_name(first))
        tell_wait(h);
    for (uint32_t waited = 0; waited < most; waited += pause) {
        wait_ms(h, pause);
        if (h->options.stop && h->options.stop(h->options.ctx))
            return lort_fail(err, LORT_E_STOPPED, "stopped while another writer was watched");
        lort_code code = read_sign(h, &now, NULL, err);
        if (code || !now.there)
            return code;
        if (now.bytes != first->bytes || memcmp(now.text, first->text, now.bytes) != 0)
            return is_written(h, &now, "another LoRT is writing this output", err);
    }
    return LORT_OK;
}

/* Removes the heartbeat if it is still the one that was judged dead. */
static lort_code bury(lort_heartbeat *h, const sign *dead, lort_error *err)
{
    sign now;
    lort_file *file = NULL;
    lort_code code = read_sign(h, &now, &file, err);
    if (code == LORT_OK && file && now.bytes == dead->bytes &&
        memcmp(now.text, dead->text, now.bytes) == 0)
        code = lort_own_remove(h->options.dir, h->options.name, file, err);
    lort_os_close(file, NULL);
    return code;
}

/* Judges the file of another writer, and removes that of a dead one. */
static lort_code judge_other(lort_heartbeat *h, lort_error *err)
{
    sign other;
    lort_code code = read_sign(h, &other, NULL, err);
    if (code || !other.there)
        return code;
    const lort_process_state state = look_at_process(h, &other);
    if (state == LORT_PROCESS_LIVES)
        return is_written(h, &other, "another LoRT is writing this output", err);
    if (state == LORT_PROCESS_UNKNOWN)
        code = watch(h, &other, err);
    return code ? code : bury(h, &other, err);
}

static lort_code take_file(lort_heartbeat *h, lort_error *err)
{
    lort_code code = LORT_E_EXISTS;
    for (int i = 0; i < TRIES && code == LORT_E_EXISTS; i++) {
        code = make_file(h, err);
        if (code != LORT_E_EXISTS)
            return code;
        code = judge_other(h, err);
        if (code)
            return code;
        code = LORT_E_EXISTS;
    }
    return code;
}

/* ---- the beat ---- */

/* Reads the own file, and writes the next beat into it. The mutex is held. */
static lort_code look_and_beat(lort_heartbeat *h, bool beat, lort_error *err)
{
    sign now;
    lort_file *file = NULL;
    if (h->lost)
        return is_written(h, &h->own, "another LoRT has taken this output over from this", err);
    lort_code code = read_sign(h, &now, &file, err);
    if (code == LORT_OK && now.there && !same_writer(&now, &h->own)) {
        code = is_written(h, &now, "another LoRT has taken this output over", err);
    } else if (code == LORT_OK && !now.there) {
        code = make_file(h, err); /* somebody removed it */
    } else if (code == LORT_OK && beat) {
        h->beat++;
        put_beat(h);
        code = lort_os_write(file, h->own.text + HEAD_BYTES, BEAT_BYTES, HEAD_BYTES, err);
        if (code == LORT_OK)
            code = lort_os_sync(file, err);
    }
    lort_os_close(file, NULL);
    h->lost = code == LORT_E_EXISTS;
    return code;
}

/* A beat that fails is no reason to stop: the next check says what is wrong. */
static void run_beats(void *ctx)
{
    lort_heartbeat *h = ctx;
    for (;;) {
        wait_ms(h, h->options.watch_ms / BEATS + 1);
        lort_os_lock_mutex(h->mutex);
        const bool ends = h->ends || h->lost;
        if (!ends)
            (void)look_and_beat(h, true, NULL);
        lort_os_unlock_mutex(h->mutex);
        if (ends)
            return;
    }
}

lort_code lort_heartbeat_check(lort_heartbeat *h, lort_error *err)
{
    if (!h)
        return LORT_OK;
    lort_os_lock_mutex(h->mutex);
    lort_code code = look_and_beat(h, !h->thread, err);
    lort_os_unlock_mutex(h->mutex);
    return code;
}

bool lort_heartbeat_lost(const lort_heartbeat *h)
{
    if (!h)
        return false;
    lort_os_lock_mutex(h->mutex);
    const bool lost = h->lost;
    lort_os_unlock_mutex(h->mutex);
    return lost;
}

/* ---- begin and end ---- */

lort_code lort_heartbeat_start(const lort_heartbeat_options *options, const lort_alloc *alloc,
                               lort_heartbeat **out, lort_error *err)
{
    void *memory;
    *out = NULL;
    lort_code code = lort_take_zero(alloc, sizeof(lort_heartbeat), "the heartbeat", &memory, err);
    if (code)
        return code;
    lort_heartbeat *h = memory;
    h->alloc = alloc;
    h->options = *options;
    put_name(h);
    code = lort_os_mutex_open(&h->mutex, err);
    if (code == LORT_OK)
        code = lort_os_cond_open(&h->cond, err);
    if (code == LORT_OK)
        code = take_file(h, err);
    if (code)
        lort_heartbeat_stop(h);
    else
        *out = h;
    /* Without a thread each check of the writer beats. */
    if (code == LORT_OK && lort_os_thread_start(run_beats, h, STACK_BYTES, &h->thread, NULL))
        h->thread = NULL;
    return code;
}

static void end_thread(lort_heartbeat *h)
{
    if (!h->thread)
        return;
    lort_os_lock_mutex(h->mutex);
    h->ends = true;
    lort_os_wake_all(h->cond);
    lort_os_unlock_mutex(h->mutex);
    lort_os_thread_join(h->thread);
}

/* Tells the file by its identity: reading it takes memory, which may have run out. */
static lort_code remove_own(const lort_heartbeat *h)
{
    lort_file_info now;
    bool exists;
    lort_code code = lort_os_look(h->options.dir, h->options.name, &now, &exists, NULL);
    if (code || !exists || h->lost || now.device != h->file.device || now.inode != h->file.inode ||
        now.birth_ns != h->file.birth_ns)
        return code;
    return lort_os_remove(h->options.dir, h->options.name, false, NULL);
}

void lort_heartbeat_stop(lort_heartbeat *h)
{
    if (!h)
        return;
    end_thread(h);
    if (h->made && remove_own(h) != LORT_OK) /* a file that stays costs others a look: once more */
        (void)remove_own(h);
    lort_os_cond_close(h->cond);
    lort_os_mutex_close(h->mutex);
    lort_give(h->alloc, h, sizeof *h);
}
