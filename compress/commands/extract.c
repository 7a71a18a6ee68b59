/* extract: the command extract-lora, from a pair of models to a published adapter. */
#include "compress/adapter/adapter.h"
#include "compress/goal/given.h"
#include "compress/goal/kinds.h"
#include "compress/session/figures.h"
#include "compress/session/report.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

#define Q4_BITS 4.5 /* of a weight in Q4_K */
#define SIZE_ATTEMPTS 16

/* ---- options and inputs ---- */

static lort_code check_options(lort_extractor *x, lort_error *err)
{
    static const lort_dtype types[] = {LORT_F32, LORT_F16, LORT_BF16, LORT_Q8_0};
    const lort_extract_options *o = x->options;
    if (o->goal != LORT_GOAL_DEFAULT && o->goal != LORT_GOAL_RANK && o->goal != LORT_GOAL_ENERGY &&
        o->goal != LORT_GOAL_ERROR && o->goal != LORT_GOAL_SIZE)
        return lort_fail(err, LORT_E_USAGE,
                         "extract-lora takes --rank, --energy, --max-error or "
                         "--size");
    if (o->goal == LORT_GOAL_RANK && o->rank < 1)
        return lort_fail(err, LORT_E_USAGE, "--rank: a factor has rank 1 at least");
    if (o->max_rank < 1)
        return lort_fail(err, LORT_E_USAGE, "--max-rank: must be 1 at least");
    x->type = lort_dtype_get(LORT_F16);
    for (size_t i = 0; o->outtype && i < sizeof types / sizeof *types; i++)
        if (strcmp(o->outtype, lort_dtype_get(types[i])->name) == 0) {
            x->type = lort_dtype_get(types[i]);
            return LORT_OK;
        }
    return o->outtype ? lort_fail(err, LORT_E_USAGE, "--outtype: must be F32, F16, BF16 or Q8_0")
                      : LORT_OK;
}

static lort_code report_inputs(lort_extractor *x, const char *output, lort_error *err)
{
    lort_session *session = &x->session;
    lort_report *report = session->report;
    const lort_model *model = x->pair.tuned.model;
    report->output_path = lort_report_escape(report, output, strlen(output));
    report->input_format = model ? lort_model_format(model) : "lort";
    report->input_bytes =
        model ? lort_model_bytes(model) : lort_archive_size(x->pair.tuned.archive);
    report->input_files = model ? lort_model_file_count(model) : 1;
    lort_named_report(&x->pair.tuned.named, report);
    lort_code code = lort_report_tensors(report, x->pair.count, err);
    for (uint64_t i = 0; i < x->pair.count && code == LORT_OK; i++) {
        const lort_pair_tensor *t = &x->pair.tensors[i];
        lort_report_tensor(report, t->tuned.tensor ? t->tuned.tensor : t->base.tensor,
                           &report->tensors[i]);
        session->total_bytes += report->tensors[i].bytes_in;
    }
    session->tensors_total = x->pair.count;
    return code ? code : lort_report_check(report, err);
}

static lort_code open_pair(lort_extractor *x, const char *tuned, const char *output,
                           lort_error *err)
{
    lort_session *session = &x->session;
    session->offline = x->options->offline;
    session->spool = x->options->spool;
    session->spool_keep = x->options->spool_keep;
    session->beside = output;
    const lort_model_options files = lort_named_options(session, x->options->weights, true, false);
    lort_code code = lort_pair_open(&x->pair, session, tuned, x->base_path, &files, err);
    if (code == LORT_OK)
        code = report_inputs(x, output, err);
    if (code == LORT_OK)
        code = lort_check_pair(x, output, err);
    if (code == LORT_OK)
        code = lort_input_refuse(&x->pair.tuned, NULL, output, &session->alloc, err);
    if (code == LORT_OK)
        code = lort_input_refuse(&x->pair.base, NULL, output, &session->alloc, err);
    return code ? code : lort_modules_list(x, err);
}

/* ---- the report ---- */

static uint64_t output_bytes(const lort_extractor *x) { return x->file_size + x->config.size; }

static void report_errors(lort_extractor *x)
{
    lort_report *report = x->session.report;
    double sum = 0;
    uint64_t count = 0;
    for (uint64_t i = 0; i < report->tensor_count; i++) {
        const lort_tensor_report *entry = &report->tensors[i];
        if (entry->action != LORT_ACTION_FACTORED)
            continue;
        report->worst_error =
            fmax(isnan(report->worst_error) ? 0 : report->worst_error, entry->rel_error);
        sum += entry->rel_error;
        count++;
    }
    report->mean_error = count ? sum / (double)count : NAN;
    report->output_bytes = output_bytes(x);
    report->ratio =
        report->input_bytes ? (double)report->output_bytes / (double)report->input_bytes : NAN;
}

static void note(lort_extractor *x, const char *text)
{
    lort_session_say(&x->session, LORT_EVENT_NOTE, NULL, text);
}

/* What the figures mean: noise, what was spared, and whether an adapter pays at all. */
static void say_notes(lort_extractor *x)
{
    char text[300], a[32], b[32];
    uint64_t floored = 0, spared = 0;
    double elements = 0, norm2 = 0, left2 = 0;
    for (uint64_t i = 0; i < x->count; i++) {
        const lort_module *m = &x->modules[i];
        elements += m->tensor->tuned.tensor ? (double)m->tensor->tuned.tensor->elements : 0;
        floored += m->floored && x->options->goal != LORT_GOAL_RANK;
        spared += m->has_factors && m->differs && !m->rank;
        norm2 += m->norm2;
        left2 += m->rank ? m->error2 : m->norm2;
    }
    snprintf(text, sizeof text, "the factors hold %.4g of the energy of all updates together",
             norm2 > 0 ? 1 - left2 / norm2 : 0);
    note(x, text);
    if (floored) {
        snprintf(text, sizeof text,
                 "%llu updates stop at the noise that rounding of the fine-tune left, before their "
                 "target: no rank holds more of them",
                 (unsigned long long)floored);
        note(x, text);
    }
    if (spared) {
        snprintf(text, sizeof text,
                 "%llu tensors differ too little for the target: no factors (the report has them)",
                 (unsigned long long)spared);
        note(x, text);
    }
    const uint64_t q4 = (uint64_t)(elements * Q4_BITS / 8);
    if (x->file_size > q4) {
        snprintf(text, sizeof text,
                 "a Q4 of the fine-tune has about %s, which is less than the adapter's %s",
                 lort_print_size(q4, a, sizeof a), lort_print_size(x->file_size, b, sizeof b));
        note(x, text);
    }
}

/* Transformers shares the embedding with the head, but not what PEFT adds to it. */
static void warn_tied(lort_extractor *x)
{
    bool head = false;
    for (uint64_t i = 0; i < x->count; i++)
        head |= lort_kind_is_head(lort_module_tensor(&x->modules[i])->name);
    for (uint64_t i = 0; i < x->count && !head && !x->gguf; i++) {
        const lort_module *m = &x->modules[i];
        const lort_tensor *t = lort_module_tensor(m);
        char name[200];
        if (m->rank > 0 && m->form == LORT_FORM_EMBEDDING && lort_kind_may_be_head(t->name))
            lort_session_warn(&x->session,
                              "tensor '%s' is the output head too, as the model has none of its "
                              "own: an adapter of PEFT changes the input side only",
                              lort_escape(name, sizeof name, t->name, t->name_bytes));
    }
}

/* Only vectors differ: an adapter of modules_to_save alone. */
static void warn_no_targets(lort_extractor *x)
{
    bool any = x->gguf;
    for (uint64_t i = 0; i < x->count; i++)
        any |= x->modules[i].rank > 0;
    if (!any)
        lort_session_warn(&x->session,
                          "no matrix has factors, so the adapter has no target modules: "
                          "versions of PEFT refuse that");
}

static lort_code check_errors(lort_extractor *x, lort_error *err)
{
    const double bound = x->options->value;
    char name[200];
    for (uint64_t i = 0; i < x->count && x->options->goal == LORT_GOAL_ERROR; i++) {
        const lort_module *m = &x->modules[i];
        const lort_tensor *t = lort_module_tensor(m);
        if (m->rank > 0 && !m->floored && m->error2 > bound * bound * m->norm2)
            return lort_fail(err, LORT_E_NUMERIC,
                             "tensor '%s': the stored factors have an error of %.4g, above %g",
                             lort_escape(name, sizeof name, t->name, t->name_bytes),
                             sqrt(m->error2 / m->norm2), bound);
    }
    return LORT_OK;
}

/* ---- the work ---- */

static void expect(lort_extractor *x)
{
    uint64_t cost = 0, bytes = 0, modules = 0;
    for (uint64_t i = 0; i < x->count; i++)
        if (x->modules[i].has_factors) {
            cost += x->modules[i].tensor->base.tensor->elements;
            bytes += x->modules[i].tensor->base.tensor->bytes;
            modules++;
        }
    lort_meter_expect(&x->session.meter, LORT_PHASE_MEASURING, cost, bytes, modules);
    lort_meter_expect(&x->session.meter, LORT_PHASE_WRITING, cost, x->session.total_bytes,
                      x->count);
}

static lort_code begin_output(lort_extractor *x, const char *output, lort_error *err)
{
    const lort_publish_options how = {.directory = !x->gguf,
                                      .force = x->options->force,
                                      .mode = lort_model_mode_bits(x->pair.tuned.model) &
                                              lort_model_mode_bits(x->pair.base.model),
                                      .stop = lort_session_stops,
                                      .stop_ctx = &x->session,
                                      .reads_back = lort_session_reads_back,
                                      .tells = lort_session_warn_text};
    return lort_publish_begin(output, &how, &x->session.alloc, &x->publish, err);
}

/* A size holds for all files. So what is no factor is known once the headers are made. */
static lort_code choose_ranks(lort_extractor *x, lort_error *err)
{
    uint64_t other = 0;
    lort_code code = LORT_OK;
    for (int i = 0; i < SIZE_ATTEMPTS; i++) {
        code = lort_ranks_choose(x, other, err);
        if (code == LORT_OK)
            code = lort_files_make(x, err);
        const uint64_t bytes = output_bytes(x), limit = lort_ranks_limit(x);
        if (code || x->options->goal != LORT_GOAL_SIZE || bytes <= limit)
            return code;
        other += bytes - limit;
    }
    return lort_fail(err, LORT_E_NUMERIC, "no adapter of these tensors has %llu bytes",
                     (unsigned long long)lort_ranks_limit(x));
}

static lort_code measure(lort_extractor *x, lort_error *err)
{
    lort_code code = lort_measure_others(x, err);
    if (code == LORT_OK)
        code = lort_measure_modules(x, err);
    if (code == LORT_OK)
        code = choose_ranks(x, err);
    if (code == LORT_OK && x->tensor_count == 0)
        return lort_fail(err, LORT_E_INPUT,
                         "no update is above the noise of rounding, or within the target: the "
                         "adapter would be empty");
    return code;
}

static lort_code write_output(lort_extractor *x, lort_error *err)
{
    lort_code code = lort_factors_write(x, err);
    if (code == LORT_OK)
        code = check_errors(x, err);
    if (code == LORT_OK)
        code = lort_pair_unchanged(&x->pair, err);
    if (code == LORT_OK)
        code = lort_input_proven(&x->pair.tuned, err);
    if (code == LORT_OK)
        code = lort_input_proven(&x->pair.base, err);
    if (code == LORT_OK)
        code = lort_session_check_stop(&x->session, err);
    return code ? code : lort_publish_commit(x->publish, err);
}

static lort_code run(lort_extractor *x, const char *output, lort_error *err)
{
    lort_session *session = &x->session;
    expect(x);
    lort_code code = begin_output(x, output, err); /* a name that is taken costs no work */
    if (code == LORT_OK)
        lort_session_say(session, LORT_EVENT_START, NULL, NULL);
    if (code == LORT_OK)
        code = measure(x, err);
    if (code == LORT_OK)
        code = write_output(x, err);
    if (code)
        return code;
    report_errors(x);
    say_notes(x);
    warn_tied(x);
    warn_no_targets(x);
    return lort_report_check(session->report, err);
}

static void close_all(lort_extractor *x)
{
    if (x->session.budget) {
        lort_publish_close(x->publish);
        lort_files_free(x);
        lort_space_give(x);
        lort_named_cost(x->pair.tuned.model, x->session.report);
        lort_pair_close(&x->pair);
        lort_arena_free(&x->arena);
    }
    lort_session_close(&x->session);
}

lort_code lort_extract(const char *tuned, const char *base, const char *output,
                       const lort_extract_options *given, const lort_observer *observer,
                       lort_report *report, lort_error *err)
{
    lort_extract_options options;
    lort_extractor x = {.options = &options, .base_path = base};
    lort_session *session = &x.session;
    lort_code code = lort_given_extract(given, &options, report, err);
    if (code)
        return code;
    code = lort_session_open(session, LORT_COMMAND_EXTRACT, options.memory_bytes, options.threads,
                             observer, report, err);
    x.arena.alloc = &session->alloc;
    if (code == LORT_OK)
        code = lort_session_check_core(session, options.blas_core, err);
    if (code == LORT_OK)
        code = check_options(&x, err);
    if (code == LORT_OK)
        code = open_pair(&x, tuned, output, err);
    if (code == LORT_OK)
        code = lort_space_open(&x, err);
    if (code == LORT_OK) {
        lort_model_say(x.pair.tuned.model);
        lort_model_say(x.pair.base.model);
        code = run(&x, output, err);
    }
    if (code == LORT_OK)
        lort_session_end(session);
    close_all(&x);
    return code;
}
