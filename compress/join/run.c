/* run: see run.h. */
#include "compress/join/run.h"
#include "compress/goal/goal.h"
#include "compress/join/parts.h"
#include "compress/session/report.h"
#include "compress/task/curves.h"
#include "compress/task/runs.h"
#include "compress/write/findings.h"
#include "compress/write/journal.h"
#include "compress/write/shares.h"
#include "compress/write/start.h"
#include "formats/base/text.h"
#include <stdio.h>
#include <string.h>

/* ---- the run ---- */

/* Progress counts the run alone. */
static void count_run(const lort_decider *decider, const lort_work_plan *plan, const lort_run *run)
{
    lort_session *session = decider->session;
    session->total_bytes = run->bytes;
    session->tensors_total = 0;
    for (uint64_t i = run->first; i < run->end; i++)
        session->tensors_total += plan->tensors[i].tensor != NULL;
    session->report->task = plan->task;
    session->report->tasks = plan->tasks;
    session->report->task_bytes = run->bytes;
}

lort_code lort_task_cut(const lort_decider *decider, lort_work_plan *plan, lort_error *err)
{
    const lort_options *options = decider->options;
    const lort_alloc *alloc = &decider->session->alloc;
    uint64_t count;
    void *memory;
    plan->reserve = options->reserve;
    if (options->tasks == 0)
        return LORT_OK;
    lort_code code = lort_take(alloc, options->tasks * sizeof(lort_run), "runs", &memory, err);
    if (code)
        return code;
    lort_run *runs = memory;
    lort_runs_cut(options, plan, lort_model_extents(decider->model, &count), options->tasks, runs);
    plan->task = options->task;
    plan->tasks = options->tasks;
    plan->first = runs[plan->task].first;
    plan->end = runs[plan->task].end;
    lort_model_need_run(decider->model, plan->first, plan->end);
    count_run(decider, plan, &runs[plan->task]);
    lort_give(alloc, memory, options->tasks * sizeof(lort_run));
    return LORT_OK;
}

static lort_code refuse_output(const char *output, lort_error *err)
{
    bool exists;
    char shown[300];
    lort_code code = lort_task_look(output, &exists, err);
    if (code || !exists)
        return code;
    return lort_fail(err, LORT_E_EXISTS,
                     "%s: the output of all tasks exists already; --force makes it again",
                     lort_escape_text(shown, sizeof shown, output));
}

lort_code lort_task_output(lort_decider *decider, const lort_work_plan *plan, const char **output,
                           char file[LORT_TASK_NAME], lort_error *err)
{
    const lort_task_kind kind = decider->options->measure ? LORT_TASK_CURVES : LORT_TASK_PARTS;
    decider->output = *output;
    lort_code code = decider->options->force ? LORT_OK : refuse_output(*output, err);
    if (code == LORT_OK)
        code = lort_task_path(*output, kind, plan->task, plan->tasks, file, err);
    if (code == LORT_OK)
        *output = file;
    if (code == LORT_OK && lort_model_is_supplied(decider->model))
        lort_session_warn(decider->session, "sha256: not checked, read in ranges by %u tasks",
                          plan->tasks);
    return code;
}

/* ---- files of an earlier run ---- */

static bool same_hash(const lort_hash128 *a, const lort_hash128 *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

/* LORT_OK if the file was made by a run like this one: the same start, run, key and shares. */
static lort_code compare_file(const lort_decider *decider, const lort_work_plan *plan,
                              const lort_parts_file *file, lort_error *err)
{
    const lort_task_record *task = &file->task;
    lort_hash128 key;
    lort_buffer start = {.alloc = &decider->session->alloc};
    lort_code code =
        lort_key_hash(lort_journal_get_key(decider->journal), &decider->session->alloc, &key, err);
    if (code == LORT_OK)
        code = lort_start_put(decider, plan, &start, err);
    const lort_hash128 shares = plan->shares ? lort_shares_hash(plan) : (lort_hash128){{0}};
    const bool same = code == LORT_OK && start.size == file->start.size &&
                      memcmp(start.data, file->start.data, start.size) == 0 &&
                      task->task == plan->task && task->tasks == plan->tasks &&
                      task->first == plan->first && task->end == plan->end &&
                      same_hash(&task->key, &key) && same_hash(&task->shares, &shares);
    lort_buffer_free(&start);
    if (code || same)
        return code;
    return lort_fail(err, LORT_E_USAGE, "it is of other options, shares or input");
}

static lort_code check_file(const lort_decider *decider, const lort_work_plan *plan,
                            lort_parts_file *file, lort_error *err)
{
    lort_model_record model = {0}; /* only its extents are set */
    const lort_parts_sink none = {0};
    /* not written to */
    model.extents =
        (lort_extent *)(uintptr_t)lort_model_extents(decider->model, &model.extent_count);
    lort_code code = compare_file(decider, plan, file, err);
    return code ? code : lort_parts_read(file, &model, &none, err);
}

static void say_done(const lort_decider *decider, const char *path)
{
    char text[400], shown[300];
    snprintf(text, sizeof text, "%s is finished: nothing to do",
             lort_escape_text(shown, sizeof shown, path));
    lort_session_say(decider->session, LORT_EVENT_NOTE, NULL, text);
}

/* A file that cannot be used is made again. Other failures end the run. */
static lort_code judge_file(const lort_decider *decider, const char *path, lort_code code,
                            const lort_error *why, lort_error *err)
{
    char shown[300];
    if (code != LORT_E_DAMAGED && code != LORT_E_USAGE && code != LORT_E_INPUT) {
        if (err)
            *err = *why;
        return code;
    }
    lort_session_warn(decider->session, "%s is made again: %s",
                      lort_escape_text(shown, sizeof shown, path), why->message);
    return LORT_OK;
}

lort_code lort_task_find(const lort_decider *decider, const lort_work_plan *plan, bool *done,
                         lort_error *err)
{
    char path[LORT_TASK_NAME];
    lort_parts_file file = {0};
    lort_error why = {0};
    *done = false;
    lort_code code =
        lort_task_path(decider->output, LORT_TASK_PARTS, plan->task, plan->tasks, path, err);
    if (code)
        return code;
    code = lort_parts_open(path, &decider->session->alloc, decider->session->scratch[0].codec,
                           &file, &why);
    const bool there = file.file.file != NULL;
    if (code == LORT_OK && there)
        code = check_file(decider, plan, &file, &why);
    *done = code == LORT_OK && there;
    if (*done) {
        decider->session->report->output_bytes = file.file.size;
        say_done(decider, path);
    }
    lort_parts_close(&file);
    return code ? judge_file(decider, path, code, &why, err) : LORT_OK;
}

/* ---- curves ---- */

static lort_code find_curves(const lort_decider *decider, const lort_work_plan *plan, bool *done,
                             lort_error *err)
{
    char path[LORT_TASK_NAME];
    const lort_curves_from from = {.output = decider->output,
                                   .task = plan->task,
                                   .tasks = plan->tasks,
                                   .key = lort_journal_get_key(decider->journal),
                                   .alloc = &decider->session->alloc,
                                   .codec = decider->session->scratch[0].codec};
    lort_record record = {0};
    lort_curves_record curves;
    lort_error why = {0};
    bool found, touched = false;
    lort_code code =
        lort_task_path(decider->output, LORT_TASK_CURVES, plan->task, plan->tasks, path, err);
    if (code)
        return code;
    code = lort_curves_open(&from, plan->task, &record, &curves, &found, &touched, &why);
    if (code == LORT_OK && found && touched)
        code = lort_fail(&why, LORT_E_USAGE, "the input was touched since");
    if (code == LORT_OK && found && curves.each != LORT_FINDING_BYTES)
        code = lort_fail(&why, LORT_E_USAGE, "its curves are of another version");
    *done = code == LORT_OK && found;
    if (*done)
        say_done(decider, path);
    lort_record_free(&record);
    code = code == LORT_E_READ ? LORT_E_USAGE : code; /* of another input */
    return code ? judge_file(decider, path, code, &why, err) : LORT_OK;
}

static lort_code write_curves(const lort_decider *decider, const lort_work_plan *plan,
                              const lort_buffer *curves, uint64_t first, uint64_t count,
                              lort_publish *publish, lort_error *err)
{
    const lort_key key = lort_journal_get_key(decider->journal);
    const lort_curves_record record = {.task = plan->task,
                                       .tasks = plan->tasks,
                                       .first = first,
                                       .count = count,
                                       .key = key.text,
                                       .key_bytes = (uint32_t)key.bytes,
                                       .each = LORT_FINDING_BYTES,
                                       .curves = curves->data};
    lort_buffer out = {.alloc = &decider->session->alloc};
    lort_code code = lort_curves_put(&record, &decider->session->alloc,
                                     decider->session->scratch[0].codec, &out, err);
    if (code == LORT_OK)
        code = lort_publish_drop(publish, err);
    if (code == LORT_OK)
        code = lort_publish_append(publish, out.data, out.size, err);
    lort_buffer_free(&out);
    return code;
}

lort_code lort_task_measure(const lort_decider *decider, lort_work_plan *plan,
                            lort_publish *publish, bool *done, lort_error *err)
{
    lort_buffer curves = {.alloc = &decider->session->alloc};
    uint64_t first = 0, count = 0;
    lort_code code = find_curves(decider, plan, done, err);
    if (code || *done)
        return code;
    code = lort_shares_measure(decider, plan, &curves, &first, &count, err);
    if (code == LORT_OK)
        code = lort_model_unchanged(decider->model, err);
    if (code == LORT_OK)
        code = write_curves(decider, plan, &curves, first, count, publish, err);
    lort_buffer_free(&curves);
    decider->session->report->output_bytes = code ? 0 : lort_publish_size(publish);
    return code;
}

/* ---- the report ---- */

void lort_task_report(const lort_decider *decider, const lort_work_plan *plan)
{
    lort_report *report = decider->session->report;
    uint64_t kept = 0;
    if (plan->tasks == 0 || report->tensor_count == 0)
        return;
    /* Tensors stand in the order of the index, extents in that of the bytes. */
    for (uint64_t i = 0; i < report->tensor_count; i++)
        report->tensors[i].reserved = 0;
    for (uint64_t i = plan->first; i < plan->end; i++) {
        const uint64_t tensor = lort_model_extent_tensor(decider->model, i);
        if (tensor != UINT64_MAX)
            report->tensors[tensor].reserved = 1;
    }
    for (uint64_t i = 0; i < report->tensor_count; i++)
        if (report->tensors[i].reserved) {
            report->tensors[kept] = report->tensors[i];
            report->tensors[kept++].reserved = 0;
        }
    report->tensor_count = kept;
}
