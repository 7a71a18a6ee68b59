/* publish_guard: the lock file of outputs that no later run resumes: DIR/.NAME.lort-lock.
 *
 *   file = "LoRT lock\n" note*
 *   note = "made DEVICE INODE BIRTH\n", each figure with 20 digits
 *
 * A note names a file or directory that LoRT made for the partial output. The note is on the disk
 * before LoRT writes into the file. So a later run can prove what a killed run made, after a loss
 * of power too. */
#include "formats/base/text.h"
#include "loader/store/own.h"
#include "loader/store/publish_parts.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char lock_head[] = "LoRT lock\n";
#define TRIES 100 /* attempts to take a name, while other writers come and go */
#define HEAD_BYTES (sizeof lock_head - 1)
#define NOTE_BYTES (sizeof "made " - 1 + 3 * 21)

/* The file that cannot be read is the output. */
lort_code lort_publish_of_output(lort_code code, lort_error *err)
{
    if (code != LORT_E_READ)
        return code;
    if (err)
        err->code = LORT_E_WRITE;
    return LORT_E_WRITE;
}

/* Returns LORT_E_EXISTS and names the writer. held: the file that the writer locked, or NULL. */
static lort_code is_locked(lort_publish *p, const lort_file *held, lort_error *err)
{
    const uint64_t pid = held ? lort_os_lock_holder(held) : 0;
    char who[64] = "of another user or host, or one that has just ended", shown[300], place[300];
    if (pid)
        snprintf(who, sizeof who, "process %llu on this host", (unsigned long long)pid);
    return lort_fail(err, LORT_E_EXISTS,
                     "output '%s' in '%s' is being written by another LoRT (%s; it holds %s)",
                     lort_escape_text(shown, sizeof shown, p->name),
                     lort_escape_text(place, sizeof place, lort_os_dir_path(p->parent)), who,
                     p->options.resumable ? p->partial : p->guard);
}

static bool begins_as_lock(const uint8_t *head, uint64_t n)
{
    return memcmp(head, lock_head, n < HEAD_BYTES ? (size_t)n : HEAD_BYTES) == 0;
}

static void note_text(char *text, const lort_file_info *info)
{
    snprintf(text, NOTE_BYTES + 1, "made %020" PRIu64 " %020" PRIu64 " %020" PRIu64 "\n",
             info->device, info->inode, (uint64_t)info->birth_ns);
}

static void warn_no_locks(const lort_publish *p)
{
    char text[500], place[300];
    snprintf(text, sizeof text, "the disk of '%s' has no locks; %s",
             lort_escape_text(place, sizeof place, lort_os_dir_path(p->parent)),
             p->options.resumable
                 ? "the heartbeat in NAME.part.writer alone keeps a second writer away"
                 : "start no second run that writes the same output");
    if (p->options.tells)
        p->options.tells(p->options.stop_ctx, text);
}

/* Locks can lie on shared disks (heartbeat.h). So a lock of a resumable output is not enough. */
static lort_code start_heartbeat(lort_publish *p, lort_error *err)
{
    const lort_heartbeat_options how = {.dir = p->parent,
                                        .name = p->writer,
                                        .watch_ms = p->options.watch_ms ? p->options.watch_ms
                                                                        : LORT_WATCH_MS,
                                        .stop = p->options.stop,
                                        .tells = p->options.tells,
                                        .ctx = p->options.stop_ctx};
    char shown[300];
    lort_code code = lort_heartbeat_start(&how, p->alloc, &p->heartbeat, err);
    if (code == LORT_E_EXISTS)
        lort_error_prefix(err, "output '%s'", lort_escape_text(shown, sizeof shown, p->name));
    return code;
}

/* Tries once. *same: the name still leads to the file. */
static lort_code try_hold(lort_publish *p, const lort_publish_hold *how, lort_file **file,
                          bool *found, bool *same, lort_error *err)
{
    bool locked = true;
    *same = false;
    lort_code code = lort_own_open(p->parent, how->name, how->begins, file, err);
    *found = *file != NULL;
    if (code == LORT_OK && !*file) {
        code = lort_os_create(p->parent, how->name, how->mode, file, err);
        if (code == LORT_E_EXISTS) /* another writer was faster */
            return LORT_OK;
    }
    if (code == LORT_OK)
        code = lort_os_lock(*file, &locked, err);
    if (code == LORT_E_EXISTS && *file)
        return is_locked(p, *file, err);
    if (code == LORT_OK && !locked)
        warn_no_locks(p);
    if (code == LORT_OK && p->options.resumable)
        code = start_heartbeat(p, err);
    if (code && *file && !*found)
        lort_own_remove(p->parent, how->name, *file, NULL);
    return code ? code : lort_os_leads_to(p->parent, how->name, *file, same, err);
}

lort_code lort_publish_take_name(lort_publish *p, const lort_publish_hold *how, lort_file **file,
                                 bool *found, lort_error *err)
{
    bool same;
    for (int i = 0; i < TRIES; i++) {
        lort_code code = try_hold(p, how, file, found, &same, err);
        if (code == LORT_OK && same)
            return LORT_OK;
        lort_heartbeat_stop(p->heartbeat);
        p->heartbeat = NULL;
        lort_os_close(*file, NULL);
        *file = NULL;
        if (code)
            return code;
    }
    return is_locked(p, NULL, err);
}

lort_code lort_publish_guard_take(lort_publish *p, lort_error *err)
{
    lort_file_info info = {0};
    const lort_publish_hold how = {p->guard, begins_as_lock, 0600};
    lort_code code = lort_publish_take_name(p, &how, &p->lock, &p->lock_found, err);
    if (code == LORT_OK)
        code = lort_publish_of_output(lort_os_info(p->lock, &info, err), err);
    p->lock_bytes = info.size;
    p->lock_begun = !p->lock_found;
    return code;
}

lort_code lort_publish_guard_knows(lort_publish *p, const lort_file_info *info, bool empty,
                                   bool *noted, lort_error *err)
{
    char wanted[NOTE_BYTES + 1], note[NOTE_BYTES];
    lort_code code = LORT_OK;
    /* LoRT makes a partial output, then notes it, then fills it. So a killed run can leave an empty
     * one that is not noted. */
    *noted = empty && p->lock_found;
    note_text(wanted, info);
    for (uint64_t at = HEAD_BYTES; code == LORT_OK && !*noted && at + NOTE_BYTES <= p->lock_bytes;
         at += NOTE_BYTES) {
        code = lort_publish_of_output(lort_os_read(p->lock, note, NOTE_BYTES, at, err), err);
        *noted = code == LORT_OK && memcmp(note, wanted, NOTE_BYTES) == 0;
    }
    return code;
}

lort_code lort_publish_guard_begin(lort_publish *p, const lort_file_info *info, lort_error *err)
{
    char text[HEAD_BYTES + NOTE_BYTES + 1];
    memcpy(text, lock_head, HEAD_BYTES);
    note_text(text + HEAD_BYTES, info);
    p->lock_bytes = HEAD_BYTES + NOTE_BYTES;
    p->lock_begun = true;
    return lort_own_begin(p->lock, text, HEAD_BYTES + NOTE_BYTES, err);
}

lort_code lort_publish_guard_note(lort_publish *p, const lort_file_info *info, lort_error *err)
{
    char note[NOTE_BYTES + 1];
    note_text(note, info);
    lort_code code = lort_os_write(p->lock, note, NOTE_BYTES, p->lock_bytes, err);
    p->lock_bytes += NOTE_BYTES;
    return code ? code : lort_os_sync(p->lock, err);
}
