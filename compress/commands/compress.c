/* compress: the commands compress and plan, from options to a published file.
 *
 * The room does the work of the commands. It must not print or exit: reports and observers tell. */
#include "compress/delta/base.h"
#include "compress/goal/given.h"
#include "compress/goal/goal.h"
#include "compress/join/run.h"
#include "compress/plan/estimate.h"
#include "compress/plan/importance.h"
#include "compress/plan/rules.h"
#include "compress/read/named.h"
#include "compress/session/report.h"
#include "compress/task/table.h"
#include "compress/task/target.h"
#include "compress/write/jobs.h"
#include "compress/write/pipeline.h"
#include "compress/write/resume.h"
#include "compress/write/sample.h"
#include "compress/write/shares.h"
#include "loader/store/archive.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

#define SIZE_ATTEMPTS 4   /* for an output that misses its size; the second always met it */
#define TOUCH_ATTEMPTS 16 /* for inputs that somebody touches; backups and links do so rarely */

/* What a run has before it reads the first weight. */
typedef struct prepared {
    lort_session session;
    lort_named named;
    lort_model *model;
    lort_imatrix imatrix;
    lort_decider decider;
    lort_work_plan plan;
    double counted;  /* bytes of the output that count in bits per weight */
    bool done;       /* an earlier run of this task made its file */
    bool distrusted; /* nothing of the work is of bytes that the server promised for sure */
} prepared;

static void report_input(prepared *p)
{
    lort_report *report = p->session.report;
    lort_named_report(&p->named, report);
    report->input_format = lort_model_format(p->model);
    report->input_bytes = lort_model_bytes(p->model);
    report->input_files = lort_model_file_count(p->model);
    lort_model_left_out(p->model, &report->left_files, &report->left_bytes);
    p->session.total_bytes = report->input_bytes;
    p->session.tensors_total = lort_model_index(p->model)->count;
}

static lort_code open_imatrix(prepared *p, const lort_options *options, lort_error *err)
{
    lort_code code = lort_importance_open(&p->session, options->imatrix, &p->imatrix, err);
    if (code == LORT_OK)
        code =
            lort_importance_check(&p->imatrix, options->imatrix, lort_model_index(p->model), err);
    p->session.imatrix = &p->imatrix;
    return code;
}

/* Opens the model and lists its tensors. Both count before the plan sees what memory is left. */
static lort_code open_model(prepared *p, const char *path, const lort_options *options,
                            lort_error *err)
{
    lort_session *session = &p->session;
    session->offline = options->offline;
    session->spool = options->spool;
    session->spool_keep = options->spool_keep;
    const lort_model_options files = lort_named_options(session, options->weights, false,
                                                        options->side_files == LORT_SIDE_FILES_ALL);
    lort_code code = lort_named_open(path, &files, &p->session, &p->named, &p->model, err);
    if (code == LORT_OK) {
        p->decider = (lort_decider){&p->session, p->model, options, NULL, NULL};
        p->session.time_limit = options->time_limit;
        lort_model_stop_when(p->model, lort_session_stops, &p->session);
        report_input(p);
        lort_named_warn(&p->session, p->model);
        code = lort_pipeline_list(&p->decider, err);
    }
    return lort_session_name_limit(&p->session, path, code, err);
}

/* beside: the path of the output, or NULL. */
static lort_code prepare_run(prepared *p, lort_command command, const char *path,
                             const char *beside, const lort_options *options,
                             const lort_observer *observer, lort_report *report, lort_error *err)
{
    *p = (prepared){0};
    lort_code code = lort_session_open(&p->session, command, options->memory_bytes,
                                       options->threads, observer, report, err);
    p->session.beside = beside;
    if (code == LORT_OK)
        code = lort_session_check_core(&p->session, options->blas_core, err);
    if (code == LORT_OK)
        code = lort_goal_check(options, err);
    if (code == LORT_OK)
        code = open_model(p, path, options, err);
    if (code == LORT_OK && options->imatrix)
        code = open_imatrix(p, options, err);
    if (code == LORT_OK && options->covariance)
        code = lort_importance_open_covariances(&p->session, options->covariance,
                                                lort_model_index(p->model), err);
    if (code == LORT_OK && options->base)
        code = lort_base_open_for(&p->session, options, lort_model_index(p->model), err);
    if (code == LORT_OK)
        code = lort_session_check_stop(&p->session, err);
    if (code == LORT_OK)
        code = lort_plan_extents(&p->session, p->model, options, &p->plan, err);
    if (code == LORT_OK)
        code = command == LORT_COMMAND_PLAN ? lort_task_table(&p->decider, &p->plan, err)
                                            : lort_task_cut(&p->decider, &p->plan, err);
    if (code == LORT_OK)
        code = lort_plan_room(&p->session, p->model, options, &p->plan, err);
    if (code == LORT_OK && options->imatrix)
        code = lort_importance_note(&p->session, options->imatrix, &p->plan, err);
    if (code == LORT_OK && options->covariance)
        code = lort_importance_note_covariances(&p->session, options->covariance, &p->plan, err);
    if (code)
        return code;
    lort_pipeline_planned(&p->decider, &p->plan);
    lort_rules_warn_growth(&p->session, &p->plan);
    lort_rules_warn(&p->session, lort_model_index(p->model), options);
    return LORT_OK;
}

/* Sets the limit of the budget and starts the workers. */
static lort_code start_workers(prepared *p, const lort_options *options, lort_error *err)
{
    const uint64_t available = p->session.memory.available,
                   room = available > p->plan.peak ? (available - p->plan.peak) / 2 : 0;
    lort_model_ahead_limit(p->model, room > LORT_AHEAD_MOST ? room : LORT_AHEAD_MOST);
    lort_budget_limit(p->session.budget, p->plan.limit);
    lort_code code = lort_session_start(&p->session, p->plan.threads, options->zstd_level,
                                        LORT_CHUNK_TARGET, &p->plan.blocks, err);
    return code ? code : lort_session_spare(&p->session, p->plan.spare, err);
}

static void close_prepared(prepared *p)
{
    lort_task_report(&p->decider, &p->plan);
    lort_plan_free(&p->plan, &p->session.alloc);
    lort_imatrix_free(&p->imatrix);
    lort_covariance_close(p->session.covariance);
    lort_named_cost(p->model, p->session.report);
    lort_model_close(p->model);
    lort_named_close(&p->named);
    lort_base_close(p->session.base);
    lort_session_close(&p->session);
}

/* plan names no output. So the report shows the disk of the current directory. */
static void report_disk(prepared *p)
{
    lort_dir *dir;
    if (lort_os_dir_open(".", &dir, NULL))
        return;
    lort_os_free_space(dir, &p->session.report->disk_free_bytes, NULL);
    lort_os_dir_close(dir);
}

/* Raises a forecast to the smallest size: what is shown must not be refused. */
static void raise_forecast(prepared *p, const lort_options *options, const lort_span *smallest)
{
    lort_report *report = p->session.report;
    const double high = (double)report->output_high,
                 unit = options->goal == LORT_GOAL_BPW ? high / fmax(options->value, 1e-9) : 1;
    report->output_high = (uint64_t)fmax(high, smallest->high * unit);
}

/* Compress measures what headers leave open. Until then it forecasts nothing for a size that may be
 * out of reach. */
static void doubt_forecast(prepared *p, const lort_options *options)
{
    lort_span smallest;
    if (lort_goal_sized(options) && !lort_estimate_reach(p->model, options, &p->plan, &smallest))
        p->session.report->output_low = p->session.report->output_high = 0;
}

#define MEASURE_MOST ((uint64_t)256 << 20) /* bytes of a model that plan reads in seconds */

/* A target that headers put in doubt. Fails with LORT_E_NUMERIC if it is out of reach for sure. */
static lort_code doubt_size(prepared *p, const lort_options *options, const lort_span *smallest,
                            lort_error *err)
{
    const bool bpw = options->goal == LORT_GOAL_BPW;
    const double wanted = bpw ? options->value : lort_plan_size(options, p->model);
    char low[32], high[32], target[32];
    snprintf(target, sizeof target, bpw ? "%.4g bits per weight" : "%.0f bytes", wanted);
    snprintf(low, sizeof low, bpw ? "%.4g" : "%.0f", smallest->low);
    snprintf(high, sizeof high, bpw ? "%.4g" : "%.0f", smallest->high);
    if (wanted < smallest->low)
        return lort_fail(err, LORT_E_NUMERIC,
                         "%s cannot be reached: the smallest is about %s to %s, as the headers "
                         "tell; --sample 1 measures it",
                         target, low, high);
    lort_session_warn(
        &p->session,
        "%s may be out of reach: the smallest is at most %s, and headers alone cannot "
        "tell; --sample 1 measures it, as compress does",
        target, high);
    raise_forecast(p, options, smallest);
    return LORT_OK;
}

/* Measures the curves, as compress does, if the user wants a sample. It does so as well where
 * headers leave open whether the size can be reached, and the model is small. */
static lort_code plan_size(prepared *p, const lort_options *options, lort_error *err)
{
    lort_span smallest;
    if (!lort_goal_sized(options))
        return LORT_OK;
    if (options->sample == 0) {
        if (lort_estimate_reach(p->model, options, &p->plan, &smallest))
            return LORT_OK;
        if (lort_model_bytes(p->model) > MEASURE_MOST)
            return doubt_size(p, options, &smallest, err);
        const lort_code code = start_workers(p, options, err);
        if (code)
            return code;
    }
    return lort_shares_give(&p->decider, &p->plan, err);
}

lort_code lort_plan(const char *path, const lort_options *given, const lort_observer *observer,
                    lort_report *report, lort_error *err)
{
    prepared p;
    lort_options options;
    lort_code code = lort_given_options(given, &options, report, err);
    if (code)
        return code;
    code = prepare_run(&p, LORT_COMMAND_PLAN, path, NULL, &options, observer, report, err);
    p.plan.spare = 0; /* nothing is written, so no coded blocks are held */
    if (code == LORT_OK && options.sample > 0)
        code = start_workers(&p, &options, err);
    if (code == LORT_OK)
        lort_sample_expect(&p.decider, &p.plan, options.sample);
    if (code == LORT_OK)
        code = plan_size(&p, &options, err);
    report_disk(&p);
    if (code == LORT_OK)
        code = lort_jobs_begin(&p.decider, &p.plan, err);
    if (code == LORT_OK) {
        lort_model_say(p.model);
        lort_session_say(&p.session, LORT_EVENT_START, NULL, NULL);
    }
    if (code == LORT_OK && options.sample > 0)
        code = lort_sample(&p.decider, &p.plan, options.sample, err);
    if (code == LORT_OK && options.sample > 0)
        lort_session_end(&p.session);
    close_prepared(&p);
    return code;
}

/* ---- compress ---- */

static lort_code write_all(prepared *p, lort_publish *publish, lort_error *err)
{
    lort_emitter *emitter = NULL;
    lort_code code = lort_publish_file(publish, NULL, err);
    uint64_t done = 0;
    if (code == LORT_OK)
        code = lort_emit_open(&p->decider, &p->plan, publish, &emitter, err);
    if (code == LORT_OK)
        lort_session_enter(&p->session, LORT_PHASE_CHECKING);
    if (code == LORT_OK)
        code = lort_resume(&p->decider, &p->plan, publish, emitter, &done, err);
    if (code == LORT_OK)
        code = lort_pipeline_run(&p->decider, &p->plan, done, emitter, err);
    if (code == LORT_OK)
        code = lort_model_unchanged(p->model, err);
    if (code == LORT_OK && p->plan.tasks == 0)
        code = lort_model_prove_all(p->model, err);
    if (code == LORT_OK && p->session.base && p->plan.tasks == 0)
        code = lort_input_proven(lort_base_input(p->session.base), err);
    if (code == LORT_OK)
        code = lort_base_unchanged(p->session.base, err);
    if (code == LORT_OK)
        code = lort_emit_finish(emitter, err);
    /* Curves of the first reading, or all parts, are of bytes that nobody promised. */
    p->distrusted = lort_emit_distrusted(emitter) && lort_publish_size(publish) == 0;
    lort_emit_close(emitter);
    return code;
}

/* Bits per weight are the payloads and records of all weights over their elements. Bytes between
 * tensors, packed tensors, their companions, masks and tables do not count. Of a task all figures
 * are those of its run. */
static void report_output(prepared *p, uint64_t bytes)
{
    lort_report *report = p->session.report;
    double elements = 0;
    p->counted = 0;
    for (uint64_t i = p->plan.first; i < p->plan.end; i++)
        if (lort_tensor_plan_counts(&p->plan.tensors[i])) {
            p->counted += (double)lort_job_report(&p->decider, i)->bytes_out;
            elements += (double)p->plan.tensors[i].tensor->elements;
        }
    report->output_bytes = bytes;
    report->ratio = p->session.total_bytes ? (double)bytes / (double)p->session.total_bytes : NAN;
    report->bpw = elements > 0 ? 8 * p->counted / elements : NAN;
}

/* Warns of an output that saves nothing. */
static void warn_ratio(prepared *p, const lort_options *options)
{
    lort_report *report = p->session.report;
    uint64_t tried = 0, factored = 0;
    for (uint64_t i = 0; i < p->plan.count; i++)
        tried += p->plan.tensors[i].candidate;
    for (uint64_t i = 0; i < report->tensor_count; i++)
        factored += report->tensors[i].action != LORT_ACTION_KEPT;
    if (report->ratio > 1)
        lort_session_warn(
            &p->session,
            "the output is larger than the input (%.2f of it): the container's records "
            "take more than compression saved",
            report->ratio);
    if (tried && factored == 0 && options->goal != LORT_GOAL_LOSSLESS)
        lort_session_warn(&p->session,
                          "none of %llu matrices met the target below its lossless size: all were "
                          "kept losslessly, and the output is %.2f of the input",
                          (unsigned long long)tried, report->ratio);
}

/* Fails if the output is larger than its target. Shares count records by an estimate, so an output
 * may miss its size by a few bytes. *over: the bytes too many; 0: it fits. */
static lort_code check_size(const prepared *p, const lort_options *options, uint64_t bytes,
                            uint64_t *over, lort_error *err)
{
    const lort_size_target target = {.size_limit = p->plan.size_limit,
                                     .bpw_limit =
                                         options->goal == LORT_GOAL_BPW ? options->value : 0,
                                     .elements = lort_plan_elements(&p->plan)};
    *over = 0;
    return p->plan.tasks ? LORT_OK /* lort merge sees the whole output */
                         : lort_target_check(&target, bytes, p->counted, over, err);
}

/* Tells the meter how much LoRT will read back. */
static void expect_back(prepared *p, uint64_t bytes)
{
    lort_meter_expect(&p->session.meter, LORT_PHASE_READING_BACK, bytes, bytes, 0);
}

/* Starts the work. In a further attempt the workers run already. */
static lort_code start_output(prepared *p, const lort_options *options, lort_error *err)
{
    if (p->session.pool)
        return LORT_OK;
    lort_code code = start_workers(p, options, err);
    if (code == LORT_OK)
        code = lort_jobs_begin(&p->decider, &p->plan, err);
    if (code == LORT_OK) {
        doubt_forecast(p, options);
        lort_model_say(p->model);
        lort_session_say(&p->session, LORT_EVENT_START, NULL, NULL);
    }
    return code;
}

/* Compresses into the partial output. */
static lort_code fill_output(prepared *p, lort_publish *publish, const lort_options *options,
                             uint64_t *over, lort_error *err)
{
    expect_back(p, p->plan.out_low / 2 + p->plan.out_high / 2);
    lort_code code = lort_jobs_expect_writing(&p->decider, &p->plan, err);
    if (code == LORT_OK && lort_goal_sized(options))
        code = lort_shares_give(&p->decider, &p->plan, err);
    if (code == LORT_OK && p->plan.tasks)
        code = lort_task_find(&p->decider, &p->plan, &p->done, err);
    if (code || p->done)
        return code;
    code = write_all(p, publish, err);
    if (code == LORT_E_READ && lort_goal_sized(options) && lort_model_is_supplied(p->model))
        p->distrusted = true;
    if (code)
        return code;
    report_output(p, lort_publish_size(publish));
    code = check_size(p, options, lort_publish_size(publish), over, err);
    if (code == LORT_OK)
        warn_ratio(p, options);
    return code;
}

/* Compresses into the partial output and reads it back. The output has no name yet. */
static lort_code make_output(prepared *p, lort_publish *publish, const lort_options *options,
                             uint64_t *over, lort_error *err)
{
    lort_code code = start_output(p, options, err);
    if (code == LORT_OK && options->measure)
        code = lort_task_measure(&p->decider, &p->plan, publish, &p->done, err);
    else if (code == LORT_OK)
        code = fill_output(p, publish, options, over, err);
    if (code || p->done)
        return code;
    code = lort_session_check_stop(&p->session, err);
    expect_back(p, lort_publish_size(publish));
    return code ? code : lort_publish_settle(publish, err);
}

/* Decides whether the partial output stays. Deletes work that missed a quality limit: a retry would
 * miss it too. Keeps everything else, and never deletes tensors finished by an earlier run. */
static void leave_partial(prepared *p, lort_publish *publish, const char *output, lort_code code)
{
    lort_report *report = p->session.report;
    if (lort_journal_worth(p->decider.journal) &&
        (!lort_publish_bad(publish) || lort_journal_distrust(p->decider.journal, NULL) == LORT_OK))
        lort_publish_keep(publish, true);
    if ((code == LORT_E_NUMERIC && report->resumed_tensors == 0) || p->distrusted)
        lort_publish_keep(publish, false);
    if (!lort_publish_stays(publish))
        return;
    report->partial_path =
        lort_report_text(report, "%s.part", lort_report_escape(report, output, strlen(output)));
    report->partial_tensors = p->session.tensors_done;
    report->partial_other = !p->decider.journal; /* its key is not that of this run */
}

/* The options of the decider count: a further attempt may have others than the first. */
static lort_code open_journal(prepared *p, lort_publish *publish, lort_error *err)
{
    const lort_options *options = p->decider.options;
    const lort_input input = {.model = p->model};
    lort_buffer words = {.alloc = &p->session.alloc};
    lort_goal_text(options, &words);
    lort_plan_importance_text(&p->plan, &words);
    const lort_journal_run run = {.session = &p->session,
                                  .input = &input,
                                  .base = p->session.base ? lort_base_input(p->session.base) : NULL,
                                  .options = &words,
                                  .products = options->goal != LORT_GOAL_LOSSLESS,
                                  .resume = options->resume,
                                  .sized = lort_goal_sized(options),
                                  .task = p->plan.task,
                                  .tasks = p->plan.tasks};
    lort_code code = lort_buffer_check(&words, err);
    if (code == LORT_OK)
        code = lort_journal_open(&run, publish, &p->decider.journal, err);
    lort_buffer_free(&words);
    return code;
}

/* One attempt. If the output misses its size, *over is the bytes too many, and nothing of the
 * attempt is left; else *over is 0. */
static lort_code attempt_output(prepared *p, const char *output, const lort_options *options,
                                uint64_t *over, lort_error *err)
{
    lort_publish *publish = NULL;
    /* A file of a task is a step on the way. LoRT replaces one that is not of this run. */
    const lort_publish_options how = {.force = options->force || p->plan.tasks,
                                      .own_only = p->plan.tasks != 0,
                                      .resumable = true,
                                      .begins = lort_archive_resembles,
                                      .mode = lort_model_mode_bits(p->model),
                                      .expect_bytes = p->plan.out_low,
                                      .stop = lort_session_stops,
                                      .stop_ctx = &p->session,
                                      .reads_back = lort_session_reads_back,
                                      .tells = lort_session_warn_text};
    *over = 0;
    lort_code code = lort_publish_begin(output, &how, &p->session.alloc, &publish, err);
    if (code)
        return code;
    lort_os_free_space(lort_publish_dir(publish), &p->session.report->disk_free_bytes, NULL);
    code = open_journal(p, publish, err);
    if (code == LORT_OK)
        code = make_output(p, publish, options, over, err);
    if (code == LORT_OK && !p->done)
        code = lort_journal_remove(p->decider.journal, err);
    if (code == LORT_OK && !p->done)
        code = lort_publish_commit(publish, err);
    if (code == LORT_E_STOPPED)
        (void)lort_session_check_stop(&p->session, err); /* fills err with the reason of the stop */
    if ((code && *over) || p->done)
        lort_publish_keep(publish, false);
    else if (code)
        leave_partial(p, publish, output, code);
    lort_journal_close(p->decider.journal, lort_publish_stays(publish));
    lort_publish_close(publish);
    p->decider.journal = NULL;
    return code;
}

/* Makes the figures ready for a further attempt. */
static void begin_again(prepared *p)
{
    lort_session *session = &p->session;
    lort_plan_drop_shares(&p->plan, &session->alloc);
    lort_meter_again(&session->meter, lort_os_clock_ns());
    session->done_bytes = session->out_bytes = session->tensors_done = 0;
    session->worst_error = NAN;
    session->report->resumed_tensors = session->report->partial_tensors = 0;
    session->report->partial_path = "";
    session->report->partial_other = false;
}

/* Makes the next attempt leave unused a quarter more than this attempt had too much. */
static void reserve_more(prepared *p, uint64_t over)
{
    lort_session *session = &p->session;
    char text[120];
    snprintf(
        text, sizeof text,
        "the output missed its size by %llu bytes: LoRT compresses once more with smaller shares",
        (unsigned long long)over);
    lort_session_say(session, LORT_EVENT_NOTE, NULL, text);
    p->plan.reserve = lort_target_reserve(p->plan.reserve, over);
    begin_again(p);
}

/* Attempts until the output fits its size, or misses it too often. */
static lort_code attempt_sizes(prepared *p, const char *output, const lort_options *options,
                               lort_error *err)
{
    uint64_t over = 0;
    lort_code code = LORT_OK;
    for (int i = 0; code == LORT_OK && i < SIZE_ATTEMPTS; i++) {
        if (over)
            reserve_more(p, over);
        code = attempt_output(p, output, options, &over, err);
        if (!over)
            return code;
        code = i + 1 < SIZE_ATTEMPTS ? LORT_OK : code;
    }
    return code;
}

/* Resumes the work of this run after somebody touched an input. Then LoRT compares finished tensors
 * and curves with the input as it is now, and refuses an input of other contents. */
static lort_code resume_touched(prepared *p, const char *output, lort_options *options,
                                lort_error *err)
{
    lort_code code = lort_model_accept(p->model, err);
    if (code)
        return code;
    lort_session_say(&p->session, LORT_EVENT_NOTE, NULL,
                     "an input was touched (contents, names or permissions): LoRT compares it with "
                     "the finished tensors");
    options->resume = true;
    begin_again(p);
    return attempt_sizes(p, output, options, err);
}

/* Fails if the output is a file of the input or of the base. */
static lort_code refuse_inputs(const prepared *p, const char *output, const lort_options *options,
                               lort_error *err)
{
    const lort_input input = {.model = p->model};
    lort_code code = lort_input_refuse(&input, options->imatrix, output, &p->session.alloc, err);
    if (code == LORT_OK && p->session.base)
        code = lort_input_refuse(lort_base_input(p->session.base), NULL, output, &p->session.alloc,
                                 err);
    return code;
}

static lort_code run_compress(prepared *p, const char *output, const lort_options *options,
                              lort_error *err)
{
    lort_options again = *options;
    char file[LORT_TASK_NAME]; /* of a task */
    lort_code code = LORT_OK;
    if (p->plan.tasks)
        code = lort_task_output(&p->decider, &p->plan, &output, file, err);
    p->session.report->output_path = lort_report_escape(p->session.report, output, strlen(output));
    p->decider.options = &again;
    lort_model_watch(p->model);
    if (code == LORT_OK)
        code = refuse_inputs(p, output, options, err);
    if (code == LORT_OK && p->plan.tasks) /* lort merge does not know the input */
        code = refuse_inputs(p, p->decider.output, options, err);
    if (code == LORT_OK)
        code = attempt_sizes(p, output, &again, err);
    for (int i = 0; code == LORT_E_READ && lort_model_touched(p->model) && i < TOUCH_ATTEMPTS; i++)
        code = resume_touched(p, output, &again, err);
    return code;
}

lort_code lort_compress(const char *path, const char *output, const lort_options *given,
                        const lort_observer *observer, lort_report *report, lort_error *err)
{
    prepared p;
    lort_options options;
    lort_code code = lort_given_options(given, &options, report, err);
    if (code)
        return code;
    code = prepare_run(&p, LORT_COMMAND_COMPRESS, path, output, &options, observer, report, err);
    if (code == LORT_OK)
        code = run_compress(&p, output, &options, err);
    if (code == LORT_OK)
        lort_session_end(&p.session);
    close_prepared(&p);
    return code;
}
