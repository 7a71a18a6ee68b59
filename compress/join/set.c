/* set: see set.h. */
#include "compress/join/set.h"
#include "compress/lort.h"
#include "formats/base/text.h"
#include "loader/store/archive.h"
#include <stdio.h>
#include <string.h>

typedef unsigned long long ull;

#define NAMED_MOST 12     /* missing tasks that a message names */
#define LOOK_MS 250       /* between two looks for a file that is not there yet */
#define OPTIONS_SHOWN 160 /* bytes of options in a message */

/* ---- how many tasks there are ---- */

typedef struct counting {
    const char *base; /* the name of the output */
    uint32_t tasks;   /* 0: none found yet */
    char other[300];  /* a file of another number; "": none */
    uint32_t more;    /* its number */
} counting;

/* Takes digits at *at. */
static bool take_number(const char **at, uint64_t *out)
{
    const char *start = *at;
    for (*out = 0; **at >= '0' && **at <= '9' && *out <= LORT_TASKS_MOST; (*at)++)
        *out = 10 * *out + (uint64_t)(**at - '0');
    return *at != start;
}

/* A lort_os_dir_list function: a name BASE.task-I-of-N, or its partial output. */
static lort_code count_name(void *ctx, const char *name, lort_error *err)
{
    counting *c = ctx;
    const size_t n = strlen(c->base);
    uint64_t task, tasks;
    (void)err;
    if (strncmp(name, c->base, n) != 0 || strncmp(name + n, ".task-", 6) != 0)
        return LORT_OK;
    const char *at = name + n + 6;
    if (!take_number(&at, &task) || strncmp(at, "-of-", 4) != 0)
        return LORT_OK;
    at += 4;
    if (!take_number(&at, &tasks) || (*at && strcmp(at, ".part") != 0) || tasks == 0 ||
        tasks > LORT_TASKS_MOST || task >= tasks)
        return LORT_OK;
    if (c->tasks == 0)
        c->tasks = (uint32_t)tasks;
    if (tasks != c->tasks && !*c->other) {
        c->more = (uint32_t)tasks;
        lort_escape_text(c->other, sizeof c->other, name);
    }
    return LORT_OK;
}

/* The directory is listed for this alone. */
static lort_code count_tasks(lort_task_set *set, lort_error *err)
{
    lort_dir *dir = NULL;
    counting c = {.tasks = 0};
    char shown[300];
    lort_code code = lort_os_dir_of(set->output, &dir, &c.base, err);
    if (code == LORT_OK)
        code = lort_os_dir_list(dir, count_name, &c, err);
    lort_os_dir_close(dir);
    if (code)
        return code;
    set->tasks = c.tasks;
    lort_escape_text(shown, sizeof shown, set->output);
    if (c.tasks == 0)
        return lort_fail(err, LORT_E_INPUT,
                         "%s: there is no file of a task beside it; 'lort compress MODEL -o %s "
                         "--task I/N' makes one",
                         shown, shown);
    if (*c.other)
        return lort_fail(err, LORT_E_INPUT,
                         "%s: files of %u and of %u tasks lie there, such as %s: remove those that "
                         "do not belong, or name the number with --tasks",
                         shown, c.tasks, c.more, c.other);
    return LORT_OK;
}

/* ---- messages ---- */

void lort_set_name(const lort_task_set *set, uint32_t task, lort_code code, lort_error *err)
{
    char path[LORT_TASK_NAME], shown[300];
    if (lort_task_path(set->output, LORT_TASK_PARTS, task, set->tasks, path, NULL))
        return;
    lort_error_prefix(err, "%s: task %u/%u%s", lort_escape_text(shown, sizeof shown, path), task,
                      set->tasks, code == LORT_E_DAMAGED ? " is damaged, run it again" : "");
    lort_error_file(err, path);
}

static lort_code is_foreign(const lort_task_set *set, uint32_t task, const char *why,
                            lort_error *err)
{
    lort_fail(err, LORT_E_INPUT, "it is foreign: %s", why);
    lort_set_name(set, task, LORT_E_INPUT, err);
    return LORT_E_INPUT;
}

/* ---- one task against the first ---- */

static lort_code read_model(const lort_task_set *set, const lort_buffer *start, lort_arena *arena,
                            lort_model_record *out, lort_error *err);

/* Says what differs between two starts. */
static lort_code explain_start(const lort_task_set *set, uint32_t task,
                               const lort_parts_file *parts, lort_error *err)
{
    lort_arena arena = {.alloc = &set->session->alloc};
    lort_model_record model;
    char why[600], there[OPTIONS_SHOWN], here[OPTIONS_SHOWN];
    lort_code code = read_model(set, &parts->start, &arena, &model, err);
    if (code) {
        lort_set_name(set, task, code, err);
        lort_arena_free(&arena);
        return code;
    }
    if (strcmp(model.options, set->model.options) != 0)
        snprintf(why, sizeof why, "it has other options ('%s', task 0/%u has '%s')",
                 lort_escape_text(there, sizeof there, model.options), set->tasks,
                 lort_escape_text(here, sizeof here, set->model.options));
    else if (strcmp(model.libraries, set->model.libraries) != 0)
        snprintf(why, sizeof why, "it has other libraries ('%s', task 0/%u has '%s')",
                 lort_escape_text(there, sizeof there, model.libraries), set->tasks,
                 lort_escape_text(here, sizeof here, set->model.libraries));
    else
        snprintf(why, sizeof why, "it is of another model than task 0/%u", set->tasks);
    lort_arena_free(&arena);
    return is_foreign(set, task, why, err);
}

static bool same_hash(const lort_hash128 *a, const lort_hash128 *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

static lort_code compare_task(const lort_task_set *set, uint32_t task, const lort_parts_file *parts,
                              lort_error *err)
{
    const lort_task_record *t = &parts->task, *f = &set->first;
    char why[160];
    if (t->task != task || t->tasks != set->tasks) {
        snprintf(why, sizeof why, "it says that it is task %u/%u", t->task, t->tasks);
        return is_foreign(set, task, why, err);
    }
    if (parts->start.size != set->start.size ||
        memcmp(parts->start.data, set->start.data, set->start.size) != 0)
        return explain_start(set, task, parts, err);
    if (!same_hash(&t->key, &f->key) || t->extents != f->extents)
        return is_foreign(set, task, "its input, or its base, is another one than that of task 0",
                          err);
    if (!same_hash(&t->shares, &f->shares) || t->size_limit != f->size_limit ||
        t->bpw_limit > f->bpw_limit || t->bpw_limit < f->bpw_limit || t->reserve != f->reserve ||
        t->elements != f->elements || t->zstd_level != f->zstd_level)
        return is_foreign(set, task,
                          "it has other shares of the size than task 0: other curves, or another "
                          "--reserve",
                          err);
    return LORT_OK;
}

/* ---- all tasks ---- */

/* The source of a buffer: views of it. */
static lort_code view_buffer(void *ctx, uint64_t offset, uint64_t n, lort_buffer *scratch,
                             const uint8_t **out, lort_error *err)
{
    const lort_buffer *buffer = ctx;
    (void)scratch;
    *out = NULL;
    if (offset > buffer->size || n > buffer->size - offset)
        return lort_fail(err, LORT_E_DAMAGED, "a record ends early");
    *out = buffer->data + offset;
    return LORT_OK;
}

static lort_code read_model(const lort_task_set *set, const lort_buffer *start, lort_arena *arena,
                            lort_model_record *out, lort_error *err)
{
    const lort_record_source source = {view_buffer, (void *)(uintptr_t)start, &set->session->alloc,
                                       set->codec};
    lort_record record = {0};
    lort_code code =
        lort_record_read(&source, LORT_FRAME_MODEL, LORT_HEADER_BYTES, start->size, &record, err);
    if (code == LORT_OK)
        code = lort_model_record_get(record.body, record.bytes, arena, out, err);
    lort_record_free(&record);
    return code;
}

static lort_code take_first(lort_task_set *set, lort_parts_file *parts, lort_error *err)
{
    set->first = parts->task;
    lort_put_bytes(&set->start, parts->start.data, parts->start.size);
    lort_code code = lort_buffer_check(&set->start, err);
    if (code == LORT_OK)
        code = read_model(set, &set->start, &set->arena, &set->model, err);
    if (code == LORT_OK && set->model.extent_count != set->first.extents)
        code = lort_fail(err, LORT_E_DAMAGED, "it has %llu extents, and says that it has %llu",
                         (ull)set->model.extent_count, (ull)set->first.extents);
    set->bytes = set->start.size;
    if (code)
        lort_set_name(set, 0, code, err);
    return code;
}

/* The run must begin where that of the task before ends. */
static lort_code add_task(lort_task_set *set, uint32_t task, const lort_parts_file *parts,
                          lort_error *err)
{
    const lort_task_record *t = &parts->task;
    lort_file_info info;
    const bool last = task + 1 == set->tasks;
    if (t->first != set->firsts[task] || (last && t->end != t->extents))
        return is_foreign(set, task, "its run does not follow that of the task before", err);
    lort_code code = lort_os_info(parts->file.file, &info, err);
    set->firsts[task + 1] = t->end;
    set->bytes += parts->end - parts->start.size;
    set->counted += t->counted;
    set->mode &= info.mode;
    if (t->fail_above >= 0 && (set->fail_above < 0 || t->fail_above < set->fail_above))
        set->fail_above = t->fail_above;
    return code;
}

/* ---- files that are not there ---- */

static bool is_unfinished(const lort_task_set *set, uint32_t task)
{
    char path[LORT_TASK_NAME + 8];
    lort_file_info info;
    bool exists = false;
    if (lort_task_path(set->output, LORT_TASK_PARTS, task, set->tasks, path, NULL))
        return false;
    strcat(path, ".part");
    return lort_os_stat(path, &info, &exists, NULL) == LORT_OK && exists;
}

static bool is_there(const lort_task_set *set, uint32_t task)
{
    char path[LORT_TASK_NAME];
    lort_file_info info;
    bool exists = false;
    lort_code code = lort_task_path(set->output, LORT_TASK_PARTS, task, set->tasks, path, NULL);
    /* A stale handle of a network file system fails here, and is tried again. */
    return code == LORT_OK && lort_os_stat(path, &info, &exists, NULL) == LORT_OK && exists;
}

/* Counts and names the missing tasks. *parts: how many of them have a partial output. */
static uint32_t find_missing(const lort_task_set *set, char *names, size_t cap, uint32_t *parts)
{
    uint32_t count = 0;
    *parts = 0;
    *names = '\0';
    for (uint32_t t = 0; t < set->tasks; t++) {
        if (is_there(set, t))
            continue;
        const bool part = is_unfinished(set, t);
        const size_t at = strlen(names);
        if (count++ < NAMED_MOST)
            snprintf(names + at, cap - at, "%stask %u/%u%s", at ? ", " : "", t, set->tasks,
                     part ? " (only its .part)" : "");
        *parts += part;
    }
    return count;
}

static lort_code pause_ms(lort_session *session, uint32_t ms, lort_error *err)
{
    lort_mutex *mutex = NULL;
    lort_cond *cond = NULL;
    lort_code code = lort_os_mutex_open(&mutex, err);
    if (code == LORT_OK)
        code = lort_os_cond_open(&cond, err);
    if (code == LORT_OK) {
        lort_os_lock_mutex(mutex);
        lort_os_wait_ms(cond, mutex, ms);
        lort_os_unlock_mutex(mutex);
        code = lort_session_check_stop(session, err);
    }
    if (cond)
        lort_os_cond_close(cond);
    if (mutex)
        lort_os_mutex_close(mutex);
    return code;
}

static lort_code refuse_missing(const lort_task_set *set, const char *names, uint32_t count,
                                lort_error *err)
{
    char more[40] = "", shown[300];
    if (count > NAMED_MOST)
        snprintf(more, sizeof more, " and %u more", count - NAMED_MOST);
    return lort_fail(err, LORT_E_INPUT,
                     "%s: %u of %u tasks have not finished: %s%s; run each again, with the same "
                     "options",
                     lort_escape_text(shown, sizeof shown, set->output), count, set->tasks, names,
                     more);
}

/* Waits for files that a network may show late. One that has a partial output is not waited for:
 * its task died, or works still. */
static lort_code await_files(const lort_task_set *set, double seconds, lort_error *err)
{
    char names[600], text[700];
    uint32_t parts, count;
    bool said = false;
    lort_code code = LORT_OK;
    const uint64_t begin = lort_os_clock_ns();
    while (code == LORT_OK && (count = find_missing(set, names, sizeof names, &parts)) > 0) {
        if (parts || (double)(lort_os_clock_ns() - begin) / 1e9 >= seconds)
            return refuse_missing(set, names, count, err);
        snprintf(text, sizeof text, "waiting up to %.0f s for %s", seconds, names);
        if (!said)
            lort_session_say(set->session, LORT_EVENT_NOTE, NULL, text);
        said = true;
        code = pause_ms(set->session, LOOK_MS, err);
    }
    return code;
}

/* ---- the set ---- */

static lort_code look_at_task(lort_task_set *set, uint32_t task, lort_error *err)
{
    char path[LORT_TASK_NAME];
    lort_parts_file parts = {0};
    lort_code code = lort_task_path(set->output, LORT_TASK_PARTS, task, set->tasks, path, err);
    if (code)
        return code;
    code = lort_parts_open(path, &set->session->alloc, set->codec, &parts, err);
    if (code == LORT_OK && !parts.file.file)
        code = lort_fail(err, LORT_E_INPUT, "it is gone");
    if (code)
        lort_set_name(set, task, code, err);
    if (code == LORT_OK && task == 0)
        code = take_first(set, &parts, err);
    if (code == LORT_OK)
        code = compare_task(set, task, &parts, err);
    if (code == LORT_OK)
        code = add_task(set, task, &parts, err);
    lort_parts_close(&parts);
    return code ? code : lort_session_check_stop(set->session, err);
}

lort_code lort_set_find(lort_task_set *set, lort_session *session, const char *output,
                        const lort_merge_options *options, lort_error *err)
{
    const lort_alloc *alloc = &session->alloc;
    void *memory;
    *set = (lort_task_set){.session = session,
                           .output = output,
                           .tasks = options->tasks,
                           .start.alloc = alloc,
                           .arena.alloc = alloc,
                           .fail_above = -1,
                           .mode = 0777};
    if (options->tasks > LORT_TASKS_MOST)
        return lort_fail(err, LORT_E_USAGE, "%u tasks (allowed: up to %u)", options->tasks,
                         LORT_TASKS_MOST);
    lort_code code = lort_codec_open(LORT_ZSTD_LEVEL_DEFAULT, &set->codec, err);
    if (code == LORT_OK && set->tasks == 0)
        code = count_tasks(set, err);
    if (code == LORT_OK)
        code = lort_take_zero(alloc, (set->tasks + 1) * sizeof *set->firsts, "runs", &memory, err);
    if (code)
        return code;
    set->firsts = memory;
    code = await_files(set, options->wait, err);
    for (uint32_t t = 0; t < set->tasks && code == LORT_OK; t++)
        code = look_at_task(set, t, err);
    return code;
}

lort_code lort_set_open(const lort_task_set *set, uint32_t task, lort_parts_file *out,
                        lort_error *err)
{
    char path[LORT_TASK_NAME];
    lort_code code = lort_task_path(set->output, LORT_TASK_PARTS, task, set->tasks, path, err);
    if (code == LORT_OK)
        code = lort_parts_open(path, &set->session->alloc, set->codec, out, err);
    if (code == LORT_OK && !out->file.file)
        code = lort_fail(err, LORT_E_INPUT, "it is gone");
    if (code)
        return code;
    if (out->task.first != set->firsts[task] || out->task.end != set->firsts[task + 1] ||
        out->start.size != set->start.size ||
        memcmp(out->start.data, set->start.data, set->start.size) != 0 ||
        !same_hash(&out->task.key, &set->first.key))
        return lort_fail(err, LORT_E_INPUT, "it changed meanwhile");
    return LORT_OK;
}

static void remove_file(const lort_task_set *set, lort_task_kind kind, uint32_t task)
{
    char path[LORT_TASK_NAME], shown[300];
    lort_dir *dir = NULL;
    lort_file *file = NULL;
    const char *name;
    lort_error err = {0};
    lort_code code = lort_task_path(set->output, kind, task, set->tasks, path, &err);
    if (code == LORT_OK)
        code = lort_os_dir_of(path, &dir, &name, &err);
    if (code == LORT_OK)
        code = lort_own_open(dir, name, lort_archive_resembles, &file, &err);
    if (code == LORT_OK && file)
        code = lort_own_remove(dir, name, file, &err);
    if (code)
        lort_session_warn(set->session, "%s was not removed: %s",
                          lort_escape_text(shown, sizeof shown, path), err.message);
    lort_os_close(file, NULL);
    lort_os_dir_close(dir);
}

void lort_set_remove(const lort_task_set *set)
{
    for (uint32_t t = 0; t < set->tasks; t++) {
        remove_file(set, LORT_TASK_PARTS, t);
        remove_file(set, LORT_TASK_CURVES, t);
    }
}

void lort_set_close(lort_task_set *set)
{
    if (!set->session)
        return;
    const lort_alloc *alloc = &set->session->alloc;
    lort_give(alloc, set->firsts, set->firsts ? (set->tasks + 1) * sizeof *set->firsts : 0);
    lort_buffer_free(&set->start);
    lort_arena_free(&set->arena);
    lort_codec_close(set->codec);
    *set = (lort_task_set){0};
}
