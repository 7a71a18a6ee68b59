/* quantize: the command quantize, from options to a published GGUF file. */
#include "compress/goal/given.h"
#include "compress/quantize/head.h"
#include "compress/quantize/notes.h"
#include "compress/quantize/pieces.h"
#include "compress/quantize/remarks.h"
#include "compress/quantize/space.h"
#include "compress/quantize/targets.h"
#include "compress/session/figures.h"
#include "compress/session/report.h"
#include "compress/session/type_totals.h"
#include "formats/base/bytes.h"
#include "formats/base/plain_path.h"
#include "loader/os/os.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

#define TOUCH_ATTEMPTS 16 /* for inputs that somebody touches; backups and links do so rarely */

/* ---- the input ---- */

static void report_input(lort_quantizer *q)
{
    lort_session *session = lort_session_of(q);
    lort_report *report = session->report;
    lort_named_report(&q->input.named, report);
    report->input_format = q->input.model ? lort_model_format(q->input.model) : "lort";
    report->input_bytes =
        q->input.model ? lort_model_bytes(q->input.model) : lort_archive_size(q->input.archive);
    report->input_files = q->input.model ? lort_model_file_count(q->input.model)
                                         : lort_archive_model(q->input.archive)->file_count;
    session->tensors_total = q->input.index->count;
    for (uint64_t i = 0; i < q->input.index->count; i++)
        session->total_bytes += q->input.index->tensors[i].bytes;
}

static lort_code open_imatrix(lort_quantizer *q, lort_error *err)
{
    lort_session *session = lort_session_of(q);
    const char *path = q->options->imatrix;
    if (!path)
        return LORT_OK;
    lort_code code = lort_importance_open(session, path, &q->imatrix, err);
    if (code == LORT_OK)
        code = lort_importance_check(&q->imatrix, path, q->input.index, err);
    session->imatrix = &q->imatrix;
    return code;
}

static lort_code open_source(lort_quantizer *q, const char *path, const lort_wishes *wishes,
                             lort_error *err)
{
    lort_session *session = lort_session_of(q);
    session->offline = q->options->offline;
    session->spool = q->options->spool;
    session->spool_keep = q->options->spool_keep;
    const lort_model_options files = lort_named_options(session, NULL, false, false);
    lort_code code = lort_input_open_as(path, &files, &session->alloc, lort_session_warn_text,
                                        lort_session_stops, session, &q->input, err);
    if (code)
        return lort_session_name_limit(session, path, code, err);
    q->reading.archive = q->input.archive;
    if (q->input.archive)
        lort_archive_block_need(q->input.archive, &q->reading.blocks);
    else
        lort_model_stop_when(q->input.model, lort_session_stops, session);
    report_input(q);
    code = open_imatrix(q, err);
    if (code == LORT_OK)
        code = lort_targets_list(q, wishes, err);
    return lort_session_name_limit(session, path, code, err);
}

static lort_code open_all(lort_quantizer *q, const char *path, lort_wishes *wishes, lort_error *err)
{
    lort_session *session = lort_session_of(q);
    lort_code code = lort_wishes_parse(q, wishes, err);
    if (code == LORT_OK && wishes->mix && lort_mix_asks_importance(wishes->mix) &&
        !q->options->imatrix)
        code = lort_fail(err, LORT_E_USAGE, "--type %s wants an importance matrix (--imatrix FILE)",
                         lort_mix_name(wishes->mix));
    if (code == LORT_OK)
        code = open_source(q, path, wishes, err);
    if (code == LORT_OK && q->input.archive && lort_archive_has_base(q->input.archive))
        code = lort_fail(err, LORT_E_USAGE,
                         "the container holds differences to a base model, which quantize does not "
                         "read: restore it with --base first");
    if (code == LORT_OK)
        code = lort_space_start(q, err);
    if (code == LORT_OK && q->input.archive)
        code = lort_headers_open(&q->headers, &q->reading, err);
    if (code == LORT_OK)
        code = lort_head_open(q, err);
    if (code)
        return code;
    if (q->input.model)
        lort_model_say(q->input.model);
    lort_remark_imatrix(q);
    lort_remark_source(q);
    return lort_session_check_stop(session, err);
}

/* ---- the output ---- */

/* GGUF, version 3. The journal proves that LoRT made the file. */
static bool begins_as_output(const uint8_t *head, uint64_t n)
{
    static const uint8_t wanted[8] = {'G', 'G', 'U', 'F', 3, 0, 0, 0};
    return lort_own_resembles(head, wanted, n < sizeof wanted ? n : sizeof wanted);
}

static lort_publish_options recipe_how(const lort_quantizer *q)
{
    return (lort_publish_options){.mode = 0644, .force = q->options->force};
}

/* Takes the place of the recipe before the work, and gives it back: a recipe that cannot be written
 * costs no work. A recipe never replaces an input. */
static lort_code check_recipe(lort_quantizer *q, const char *output, lort_error *err)
{
    const char *recipe = q->options->recipe;
    const lort_alloc *alloc = &lort_session_of(q)->alloc;
    const lort_publish_options how = recipe_how(q);
    lort_publish *publish = NULL;
    if (!recipe)
        return LORT_OK;
    if (output && strcmp(recipe, output) == 0)
        return lort_fail(err, LORT_E_USAGE, "--recipe names the output: choose another file");
    lort_code code = lort_input_refuse(&q->input, q->options->imatrix, recipe, alloc, err);
    if (code == LORT_OK)
        code = lort_publish_begin(recipe, &how, alloc, &publish, err);
    lort_publish_close(publish);
    return code;
}

static lort_code write_recipe(lort_quantizer *q, lort_error *err)
{
    const lort_publish_options how = recipe_how(q);
    lort_publish *publish = NULL;
    lort_buffer text = {.alloc = &lort_session_of(q)->alloc};
    if (!q->options->recipe)
        return LORT_OK;
    lort_targets_recipe(q, &text);
    lort_code code = lort_buffer_check(&text, err);
    if (code == LORT_OK)
        code = lort_publish_begin(q->options->recipe, &how, text.alloc, &publish, err);
    if (code == LORT_OK)
        code = lort_publish_file(publish, NULL, err);
    if (code == LORT_OK)
        code = lort_publish_append(publish, text.data, text.size, err);
    if (code == LORT_OK)
        code = lort_publish_commit(publish, err);
    lort_publish_close(publish);
    lort_buffer_free(&text);
    return code;
}

static void expect_writing(lort_quantizer *q)
{
    lort_meter *meter = &lort_session_of(q)->meter;
    uint64_t cost = 0, bytes = 0;
    for (uint64_t i = 0; i < q->count; i++) {
        const lort_target_tensor *t = &q->tensors[i];
        cost += lort_target_copied(t) ? t->bytes_out : t->entry.tensor->elements;
        bytes += t->entry.tensor->bytes;
    }
    lort_meter_expect(meter, LORT_PHASE_WRITING, cost, bytes, q->count);
    lort_meter_expect(meter, LORT_PHASE_READING_BACK, q->file_size, q->file_size, 0);
}

/* Takes over what an earlier run finished. A directory of shards is begun anew. */
static lort_code adopt_pieces(lort_quantizer *q, uint64_t *done, lort_error *err)
{
    if (lort_head_splits(q))
        return LORT_OK;
    lort_session_enter(lort_session_of(q), LORT_PHASE_CHECKING);
    lort_code code = lort_publish_file(q->publish, NULL, err);
    if (code == LORT_OK) /* before adopting makes this run's key the one that counts */
        code = lort_notes_put_kept(q, err);
    return code ? code : lort_notes_adopt(q, done, err);
}

static lort_code write_output(lort_quantizer *q, lort_error *err)
{
    lort_session *session = lort_session_of(q);
    uint64_t done = 0;
    lort_code code = adopt_pieces(q, &done, err);
    if (code == LORT_OK)
        lort_session_enter(session, LORT_PHASE_WRITING);
    if (code == LORT_OK)
        code = lort_pieces_write(q, done, err);
    if (code == LORT_OK)
        code = lort_input_unchanged(&q->input, err);
    if (code == LORT_OK)
        code = lort_input_proven(&q->input, err);
    if (code == LORT_OK)
        code = lort_session_check_stop(session, err);
    return code ? code : lort_publish_settle(q->publish, err);
}

static lort_code make_output(lort_quantizer *q, const lort_wishes *wishes, lort_error *err)
{
    lort_session *session = lort_session_of(q);
    lort_code code = lort_notes_take_kept(q, err);
    if (code == LORT_OK)
        code = lort_targets_choose(q, wishes, err);
    if (code)
        return code;
    lort_remark_size(q);
    expect_writing(q);
    lort_session_say(session, LORT_EVENT_START, NULL, NULL);
    lort_remark_sample(q, wishes);
    return write_output(q, err);
}

static lort_code open_journal(lort_quantizer *q, const lort_wishes *wishes, bool resume,
                              lort_error *err)
{
    lort_buffer words = {.alloc = &lort_session_of(q)->alloc};
    if (lort_head_splits(q))
        return LORT_OK;
    const lort_journal_run run = {.session = lort_session_of(q),
                                  .input = &q->input,
                                  .options = &words,
                                  .resume = resume,
                                  .sized = true, /* without notes no piece is known */
                                  .anonymous = true};
    lort_code code = lort_wishes_put(q, wishes, &words, err);
    if (code == LORT_OK)
        code = lort_journal_open(&run, q->publish, &q->journal, err);
    lort_buffer_free(&words);
    return code;
}

/* Decides whether the partial output stays, and with it the journal: it is asked once. */
static bool leave_partial(lort_quantizer *q, const char *output, lort_code code)
{
    lort_report *report = lort_session_of(q)->report;
    /* Once NaN was found, the next attempt takes the file over. */
    const bool missed = code == LORT_E_NUMERIC && !q->found_not_finite;
    if (lort_journal_worth(q->journal) && !missed &&
        (!lort_publish_bad(q->publish) || lort_journal_distrust(q->journal, NULL) == LORT_OK))
        lort_publish_keep(q->publish, true);
    if (missed)
        lort_publish_keep(q->publish, false);
    const bool stays = lort_publish_stays(q->publish);
    lort_publish_keep(q->publish, stays);
    report->partial_path = "";
    if (!stays)
        return false;
    if (code == LORT_E_EXISTS && !q->journal) /* the file is not from LoRT */
        return true;
    report->partial_path =
        lort_report_text(report, "%s.part", lort_report_escape(report, output, strlen(output)));
    report->partial_tensors = lort_session_of(q)->tensors_done;
    report->partial_other = !q->journal;
    return true;
}

static uint32_t mode_bits(const lort_quantizer *q)
{
    lort_file_info info = {.mode = 0600};
    bool exists;
    if (q->input.model)
        return lort_model_mode_bits(q->input.model);
    (void)lort_os_stat(lort_archive_path(q->input.archive), &info, &exists, NULL);
    return info.mode;
}

/* Puts the bytes of the output into *bytes: of a size they are the most that is allowed. */
static lort_code expected_bytes(lort_quantizer *q, const lort_wishes *wishes, uint64_t *bytes,
                                lort_error *err)
{
    lort_code code = wishes->mix ? lort_targets_choose(q, wishes, err) : LORT_OK;
    *bytes = wishes->mix ? q->file_size : lort_targets_limit(q);
    return code;
}

static lort_code begin_output(lort_quantizer *q, const char *output, const lort_wishes *wishes,
                              lort_error *err)
{
    lort_session *session = lort_session_of(q);
    const bool splits = lort_head_splits(q);
    lort_publish_options how = {.directory = splits,
                                .force = q->options->force,
                                .resumable = !splits,
                                .begins = begins_as_output,
                                .mode = mode_bits(q),
                                .stop = lort_session_stops,
                                .stop_ctx = session,
                                .reads_back = lort_session_reads_back,
                                .tells = lort_session_warn_text};
    lort_code code = expected_bytes(q, wishes, &how.expect_bytes, err);
    if (code == LORT_OK)
        code = lort_publish_begin(output, &how, &session->alloc, &q->publish, err);
    if (code == LORT_OK && !splits)
        lort_os_free_space(lort_publish_dir(q->publish), &session->report->disk_free_bytes, NULL);
    return code;
}

/* The journal proves that LoRT made the partial output. So it goes once the output has its name. */
static lort_code remove_journal(lort_quantizer *q, lort_error *err)
{
    const lort_code code = lort_journal_remove(q->journal, err);
    return code ? lort_error_prefix(err, "the output is complete; after the rename") : LORT_OK;
}

static lort_code attempt_output(lort_quantizer *q, const char *output, const lort_wishes *wishes,
                                bool resume, lort_error *err)
{
    bool stays = false;
    lort_code code = begin_output(q, output, wishes, err);
    if (code == LORT_OK)
        code = open_journal(q, wishes, resume, err);
    if (code == LORT_OK)
        code = make_output(q, wishes, err);
    if (code == LORT_OK)
        code = write_recipe(q, err);
    if (code == LORT_OK)
        code = lort_publish_commit(q->publish, err);
    if (code == LORT_OK && q->journal)
        code = remove_journal(q, err);
    if (code == LORT_E_STOPPED) /* fills err with the reason of the stop */
        (void)lort_session_check_stop(lort_session_of(q), err);
    if (code && q->publish)
        stays = leave_partial(q, output, code);
    else if (code == LORT_OK) /* an attempt before may have left one */
        lort_session_of(q)->report->partial_path = "";
    lort_journal_close(q->journal, stays);
    lort_publish_close(q->publish);
    q->journal = NULL;
    q->publish = NULL;
    return code;
}

/* Makes the figures ready for a further attempt. */
static void begin_again(lort_quantizer *q)
{
    lort_session *session = lort_session_of(q);
    lort_meter_again(&session->meter, lort_os_clock_ns());
    session->done_bytes = session->out_bytes = session->tensors_done = 0;
    session->worst_error = NAN;
    session->report->resumed_tensors = session->report->partial_tensors = 0;
    session->report->partial_other = false;
}

/* What was found of the weights may not hold for those that are there now. */
static void forget_weights(lort_quantizer *q)
{
    for (uint64_t i = 0; i < q->count; i++) {
        q->tensors[i].measured = 0;
        q->tensors[i].not_finite = q->tensors[i].noted_not_finite = false;
    }
}

/* Attempts until nothing is in the way: tensors with NaN or Inf change the plan, and somebody may
 * touch an input. */
static lort_code attempt_all(lort_quantizer *q, const char *output, const lort_wishes *wishes,
                             lort_error *err)
{
    bool resume = q->options->resume;
    lort_code code = LORT_OK;
    for (int i = 0; i < TOUCH_ATTEMPTS; i++) {
        q->found_not_finite = false;
        code = attempt_output(q, output, wishes, resume, err);
        const bool touched =
            code == LORT_E_READ && q->input.model && lort_model_touched(q->input.model);
        if (!q->found_not_finite && !touched)
            return code;
        begin_again(q);
        if (!touched)
            continue;
        code = lort_model_accept(q->input.model, err);
        if (code)
            return code;
        forget_weights(q);
        resume = true;
        lort_session_say(lort_session_of(q), LORT_EVENT_NOTE, NULL,
                         "an input was touched (contents, names or permissions): LoRT compares it "
                         "with the finished tensors");
    }
    return code;
}

static lort_code run_quantize(lort_quantizer *q, const char *output, const lort_wishes *wishes,
                              lort_error *err)
{
    lort_session *session = lort_session_of(q);
    session->report->output_path = lort_report_escape(session->report, output, strlen(output));
    session->time_limit = q->options->time_limit;
    if (q->input.model)
        lort_model_watch(q->input.model);
    lort_code code =
        lort_input_refuse(&q->input, q->options->imatrix, output, &session->alloc, err);
    if (code == LORT_OK)
        code = attempt_all(q, output, wishes, err);
    if (code)
        return code;
    lort_remark_not_finite(q);
    lort_remark_nothing(q);
    lort_remark_choice(q, wishes);
    lort_report_errors(session->report);
    lort_report_weighted(session->report);
    lort_remark_lost(q);
    session->report->output_bytes = q->file_size;
    return lort_report_type_totals(session->report, err);
}

/* ---- the dry run ---- */

/* Times one piece of each type, and reports what all would take. */
static lort_code estimate_seconds(lort_quantizer *q, lort_error *err)
{
    lort_session *session = lort_session_of(q);
    double seconds = 0, rates[64] = {0};
    lort_code code = LORT_OK;
    for (uint64_t i = 0; i < q->count && code == LORT_OK; i++) {
        const lort_target_tensor *t = &q->tensors[i];
        const uint32_t id = (uint32_t)t->type->id;
        if (lort_target_copied(t) || id >= 64 || t->entry.tensor->elements == 0)
            continue;
        if (rates[id] == 0) {
            lort_error_sums sums = {0};
            const lort_stretch stretch = lort_run_piece(&t->entry, 0, 0);
            code = lort_run_open(q, t, 0, err);
            const uint64_t begun = lort_os_clock_ns();
            if (code == LORT_OK)
                code = lort_run_read(q, t, stretch, 0, err);
            if (code == LORT_OK)
                lort_stretch_encode(&q->workers[0], t, t->type, stretch, NULL, &sums);
            lort_run_close(q);
            rates[id] = (double)(lort_os_clock_ns() - begun) * 1e-9 / (double)stretch.count;
        }
        seconds += rates[id] * (double)t->entry.tensor->elements / session->threads;
    }
    session->report->estimated_seconds = seconds;
    return code;
}

static lort_code run_dry(lort_quantizer *q, const lort_wishes *wishes, lort_error *err)
{
    lort_session *session = lort_session_of(q);
    session->time_limit = q->options->time_limit;
    lort_code code = lort_targets_choose(q, wishes, err);
    if (code)
        return code;
    lort_remark_size(q);
    lort_session_say(session, LORT_EVENT_START, NULL, NULL);
    lort_remark_sample(q, wishes);
    lort_remark_not_finite(q);
    lort_remark_nothing(q);
    lort_remark_choice(q, wishes);
    code = estimate_seconds(q, err);
    if (code == LORT_OK)
        code = lort_report_type_totals(session->report, err);
    return code ? code : write_recipe(q, err);
}

static void close_all(lort_quantizer *q)
{
    if (lort_session_of(q)->budget) {
        lort_space_close(q);
        lort_headers_close(&q->headers);
        for (uint32_t i = 0; i < q->file_count; i++)
            lort_buffer_free(&q->files[i].header);
        lort_arena_free(&q->arena);
        lort_imatrix_free(&q->imatrix);
        lort_named_cost(q->input.model, lort_session_of(q)->report);
        lort_input_close(&q->input);
    }
    lort_session_close(lort_session_of(q));
}

lort_code lort_quantize(const char *model, const char *output, const lort_quantize_options *given,
                        const lort_observer *observer, lort_report *report, lort_error *err)
{
    lort_quantize_options options;
    lort_quantizer q = {.options = &options};
    lort_wishes wishes;
    lort_session *session = lort_session_of(&q);
    lort_code code = lort_given_quantize(given, &options, report, err);
    if (code)
        return code;
    code = lort_session_open(session, LORT_COMMAND_QUANTIZE, options.memory_bytes, options.threads,
                             observer, report, err);
    q.arena.alloc = &session->alloc;
    session->beside = output;
    if (code == LORT_OK)
        code = lort_wishes_check(&options, output, err);
    if (code == LORT_OK)
        code = open_all(&q, model, &wishes, err);
    if (code == LORT_OK)
        code = check_recipe(&q, output, err);
    if (code == LORT_OK)
        code = options.dry_run ? run_dry(&q, &wishes, err) : run_quantize(&q, output, &wishes, err);
    if (code == LORT_OK)
        lort_session_end(session);
    close_all(&q);
    return code;
}
