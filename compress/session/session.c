/* session: see session.h. Memory figures are sampled whenever a large block goes back to the
 * budget, since anonymous memory is at a local peak then. */
#include "compress/session/session.h"
#include "compress/math/blas.h"
#include "compress/math/cores.h"
#include "compress/session/report.h"
#include "loader/os/os.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* bytes from which a block is large: LoRT samples the memory figures when it goes back */
#define SAMPLE_BLOCK (1u << 20)
#define SAY_NS 200000000u         /* 0.2 s between two PROGRESS events */
#define STACK_TOUCHED (64u << 10) /* bytes of its stack that a worker may touch */

/* Commands that compute with BLAS. All others need no BLAS: readers compute products themselves
 * (math/multiply.h). plan may compress a sample, and predicts the workers and memory of compress.
 */
static const bool computes_with_blas[LORT_COMMANDS] = {
    [LORT_COMMAND_COMPRESS] = true, [LORT_COMMAND_PLAN] = true, [LORT_COMMAND_EXTRACT] = true};

static _Thread_local char this_thread; /* its address stands for the thread */

static void *session_take(void *ctx, size_t bytes)
{
    const lort_alloc *budget = lort_budget_alloc(((lort_session *)ctx)->budget);
    return budget->take(budget->ctx, bytes);
}

/* Anonymous memory is at a local peak just before a large block goes back. Sampling here misses no
 * peak of the budget. */
static void session_give(void *ctx, void *memory, size_t bytes)
{
    lort_session *session = ctx;
    const lort_alloc *budget = lort_budget_alloc(session->budget);
    if (bytes >= SAMPLE_BLOCK)
        lort_session_sample(session);
    budget->give(budget->ctx, memory, bytes);
}

static void raise_to(_Atomic uint64_t *peak, uint64_t value)
{
    uint64_t seen = atomic_load(peak);
    while (value > seen && !atomic_compare_exchange_weak(peak, &seen, value))
        ;
}

/* Reads the memory of the process, and raises the peaks to it. */
static lort_process_memory sample_memory(lort_session *session)
{
    lort_process_memory now;
    lort_os_process_memory(&now);
    raise_to(&session->peak_anon, now.anon_bytes);
    raise_to(&session->peak_file, now.file_bytes);
    raise_to(&session->peak_rss, now.peak_rss_bytes);
    return now;
}

void lort_session_sample(lort_session *session) { (void)sample_memory(session); }

static void report_memory(lort_session *session)
{
    lort_report *report = session->report;
    const lort_memory *memory = &session->memory;
    report->threshold = LORT_MEMORY_SHARE;
    report->available_bytes = memory->available;
    report->binding_source = lort_report_text(report, "%s", memory->sources[memory->binding].name);
    if (lort_report_sources(report, memory->count, NULL))
        return; /* lort_report_check reports it */
    for (unsigned i = 0; i < memory->count; i++) {
        report->sources[i].name = lort_report_text(report, "%s", memory->sources[i].name);
        report->sources[i].where = lort_report_text(report, "%s", memory->sources[i].where);
        report->sources[i].bytes = memory->sources[i].bytes;
        report->sources[i].binds = i == memory->binding;
    }
}

/* While LoRT reads headers and records, the budget has what the limit leaves beside the memory of
 * the process. It has at least so many bytes, less than the workers take later. So a limit that is
 * too low even for a small model is refused by the plan, which names the smallest --memory that
 * would do. */
#define PARSE_LEAST ((uint64_t)8 << 20)

/* Sets the limit before the first byte of a file is parsed. */
static lort_code limit_memory(lort_session *session, uint64_t memory_bytes, lort_error *err)
{
    lort_process_memory now;
    lort_code code = lort_memory_probe("", memory_bytes, &session->memory, err);
    if (code)
        return code;
    lort_os_process_memory(&now);
    session->base_anon = now.anon_bytes;
    session->stall_start_us = now.stall_us;
    const uint64_t limit = lort_session_limit(session, memory_bytes);
    lort_budget_limit(session->budget, limit > session->base_anon + PARSE_LEAST
                                           ? limit - session->base_anon
                                           : PARSE_LEAST);
    session->report->budget_bytes = limit;
    report_memory(session);
    return LORT_OK;
}

/* Starts BLAS and maps its buffers. This comes before the memory probe: under a limit of address
 * space, the probe must see what BLAS leaves. */
static lort_code open_blas(lort_session *session, lort_error *err)
{
    char size[32];
    const unsigned threads = session->threads,
                   most = threads < LORT_BLAS_MAX_CALLERS ? threads : LORT_BLAS_MAX_CALLERS;
    lort_code code = lort_host_start_blas(&session->host, err);
    if (code)
        return code;
    session->report->blas_config = lort_blas_config();
    session->report->blas_core = lort_blas_core();
    session->threads = lort_blas_reserve(most);
    if (session->threads == 0)
        return lort_fail(err, LORT_E_MEMORY,
                         "not enough address space (ulimit -v, ulimit -d): the linear algebra "
                         "library needs %s (%llu bytes) for a thread",
                         lort_size_text(lort_blas_address_space(), size, sizeof size),
                         (unsigned long long)lort_blas_address_space());
    if (session->threads < most)
        lort_session_warn(session,
                          "the address space (ulimit -v, ulimit -d) holds %u of %u threads",
                          session->threads, most);
    return LORT_OK;
}

lort_code lort_session_check_core(lort_session *session, const char *asked, lort_error *err)
{
    bool as_native = false;
    lort_code code = LORT_OK;
    if (asked)
        code = lort_core_check(asked, lort_core_features(), lort_blas_core(), lort_blas_one_core(),
                               &as_native, err);
    if (as_native && LORT_CORE_ARCHITECTURE)
        lort_session_warn(session,
                          "this processor lacks AVX2 or FMA, so products use the core %s; other "
                          "processors may give other bytes (--blas-core)",
                          lort_blas_core());
    return code;
}

/* Opens the report and the budget, and counts the report in the budget. */
static lort_code open_report(lort_session *session, lort_command command,
                             const lort_observer *observer, lort_report *report, lort_error *err)
{
    *session = (lort_session){
        .report = report, .observer = observer, .start_ns = lort_os_clock_ns(), .worst_error = NAN};
    session->thread = &this_thread;
    const int64_t started_ns = lort_os_time_ns();
    session->said_ns = session->start_ns;
    lort_meter_enter(&session->meter, LORT_PHASE_OPENING, session->start_ns);
    session->alloc = (lort_alloc){session_take, session_give, session};
    lort_host_enter(&session->host);
    lort_code code = lort_report_open(report, err);
    if (code)
        return code;
    report->command = command;
    report->started_ns = started_ns;
    code = lort_budget_open(UINT64_MAX, &session->budget, err);
    if (code == LORT_OK)
        lort_report_charge(report, session->budget);
    return code;
}

lort_code lort_session_open(lort_session *session, lort_command command, uint64_t memory_bytes,
                            unsigned threads, const lort_observer *observer, lort_report *report,
                            lort_error *err)
{
    lort_code code = open_report(session, command, observer, report, err);
    if (code)
        return code;
    code = lort_topology_probe(NULL, "", &session->topology, err);
    session->threads = threads ? threads : session->topology.threads;
    if (code == LORT_OK && computes_with_blas[command])
        code = open_blas(session, err);
    return code ? code : limit_memory(session, memory_bytes, err);
}

lort_code lort_session_open_reader(lort_session *session, lort_command command,
                                   uint64_t memory_bytes, const lort_observer *observer,
                                   lort_report *report, lort_error *err)
{
    lort_code code = open_report(session, command, observer, report, err);
    return code ? code : limit_memory(session, memory_bytes, err);
}

uint64_t lort_session_peak(const lort_session *session)
{
    return session->base_anon + lort_budget_peak(session->budget);
}

lort_code lort_session_name_limit(const lort_session *session, const char *path, lort_code code,
                                  lort_error *err)
{
    char shown[300], size[32];
    if (!err)
        return code;
    if (code == LORT_E_INPUT || code == LORT_E_READ || code == LORT_E_DAMAGED ||
        code == LORT_E_MEMORY)
        lort_error_file(err, path);
    if (code != LORT_E_MEMORY)
        return code;
    const lort_error why = *err;
    const char *name = lort_os_base_name(path);
    lort_escape_text(shown, sizeof shown, path);
    /* A model's own messages begin with the name of its file. */
    const bool named = *name && strncmp(why.message, name, strlen(name)) == 0;
    lort_fail(err, code, "%s%s%s; the memory limit is %s, and --memory sets it", named ? "" : shown,
              named ? "" : ": ", why.message,
              lort_size_text(session->report->budget_bytes, size, sizeof size));
    strcpy(err->file, why.file);
    strcpy(err->tensor, why.tensor);
    return code;
}

lort_code lort_scratch_open(lort_scratch *scratch, const lort_alloc *alloc, uint64_t chunk_bytes,
                            lort_error *err)
{
    void *memory;
    uint64_t coded = lort_codec_bound(chunk_bytes);
    lort_code code = lort_take(alloc, 2 * chunk_bytes + coded, "chunk buffers", &memory, err);
    if (code)
        return code;
    scratch->bytes = memory;
    scratch->planes = scratch->bytes + chunk_bytes;
    scratch->coded = scratch->planes + chunk_bytes;
    scratch->size = chunk_bytes;
    scratch->coded_size = coded;
    return LORT_OK;
}

lort_code lort_scratch_open_read(lort_scratch *scratch, const lort_alloc *alloc,
                                 uint64_t chunk_bytes, lort_error *err)
{
    void *memory;
    lort_code code = lort_take(alloc, 2 * chunk_bytes, "chunk buffers", &memory, err);
    if (code)
        return code;
    scratch->bytes = memory;
    scratch->planes = scratch->bytes + chunk_bytes;
    scratch->size = chunk_bytes;
    return LORT_OK;
}

void lort_scratch_close(lort_scratch *scratch, const lort_alloc *alloc)
{
    lort_codec_close(scratch->codec);
    lort_block_space_close(&scratch->block, alloc);
    lort_give(alloc, scratch->bytes, 2 * scratch->size + scratch->coded_size);
    *scratch = (lort_scratch){0};
}

/* Bytes that the libraries and the stacks of the workers take by themselves. */
static uint64_t library_cost(const lort_session *session, unsigned threads, int zstd_level)
{
    const uint64_t blas = computes_with_blas[session->report->command] ? lort_blas_touched() : 0;
    return threads * (lort_codec_memory(zstd_level) + blas + STACK_TOUCHED);
}

uint64_t lort_session_cost(const lort_session *session, unsigned threads, int zstd_level,
                           uint64_t chunk_bytes, const lort_block_need *blocks)
{
    return library_cost(session, threads, zstd_level) +
           threads *
               (2 * chunk_bytes + lort_codec_bound(chunk_bytes) + lort_block_space_bytes(blocks));
}

uint64_t lort_session_limit(const lort_session *session, uint64_t memory_bytes)
{
    return memory_bytes ? memory_bytes : lort_memory_limit(session->memory.available);
}

lort_code lort_session_refuse(const char *name, uint64_t name_bytes, uint64_t smallest,
                              uint64_t limit, lort_error *err)
{
    char shown[200] = "the command", a[32], b[32];
    if (name)
        lort_escape(shown, sizeof shown, name, name_bytes);
    lort_fail(err, LORT_E_MEMORY,
              "not enough memory: %s needs %s with one worker, the budget is %s; the smallest "
              "--memory that would do is %lluM",
              shown, lort_size_text(smallest, a, sizeof a), lort_size_text(limit, b, sizeof b),
              (unsigned long long)(smallest >> 20) + 1);
    if (name)
        lort_error_tensor(err, name, name_bytes);
    return LORT_E_MEMORY;
}

lort_code lort_session_start(lort_session *session, unsigned threads, int zstd_level,
                             uint64_t chunk_bytes, const lort_block_need *blocks, lort_error *err)
{
    void *memory;
    lort_code code = lort_pool_open(threads, &session->pool, &session->threads, err);
    if (code)
        return code;
    if (session->threads < threads)
        lort_session_warn(session, "the system allows %u of %u threads", session->threads, threads);
    session->report->threads = session->threads;
    lort_report_settle(session->report);
    code = lort_budget_reserve(session->budget, library_cost(session, session->threads, zstd_level),
                               "libraries", err);
    if (code)
        return code;
    session->reserved = library_cost(session, session->threads, zstd_level);
    code = lort_take_zero(&session->alloc, session->threads * sizeof *session->scratch, "workers",
                          &memory, err);
    if (code)
        return code;
    session->scratch = memory;
    for (unsigned i = 0; i < session->threads && code == LORT_OK; i++) {
        code = lort_scratch_open(&session->scratch[i], &session->alloc, chunk_bytes, err);
        if (code == LORT_OK)
            code = lort_codec_open(zstd_level, &session->scratch[i].codec, err);
        if (code == LORT_OK)
            code = lort_block_space_open(&session->scratch[i].block, &session->alloc, blocks, err);
    }
    return code;
}

lort_code lort_session_spare(lort_session *session, uint64_t bytes, lort_error *err)
{
    if (bytes == 0)
        return LORT_OK;
    lort_code code = lort_budget_reserve(session->budget, bytes, "coded blocks", err);
    if (code)
        return code;
    session->reserved += bytes;
    session->spare_bytes = bytes;
    return lort_budget_open(bytes, &session->spare, err);
}

const lort_alloc *lort_session_spare_alloc(const lort_session *session, uint64_t bytes)
{
    if (!session->spare || lort_budget_used(session->spare) + bytes > session->spare_bytes)
        return NULL;
    return lort_budget_alloc(session->spare);
}

/* The course of the run: phases and samples of the memory. */
static void report_course(lort_session *session)
{
    lort_report *report = session->report;
    const uint64_t now_ns = lort_os_clock_ns();
    double spent[LORT_PHASES];
    unsigned phases = 0;
    for (unsigned i = 0; i < LORT_PHASES; i++) {
        spent[i] = lort_meter_spent(&session->meter, (lort_phase)i, now_ns);
        phases += spent[i] > 0;
    }
    if (lort_report_course(report, session->course.samples, session->course.count, phases))
        return; /* lort_report_check reports it */
    for (unsigned i = 0; i < LORT_PHASES; i++)
        if (spent[i] > 0)
            report->phases[report->phase_count++] =
                (lort_phase_report){.phase = lort_phase_text((lort_phase)i), .seconds = spent[i]};
}

static void report_run(lort_session *session)
{
    lort_report *report = session->report;
    const lort_process_memory now = sample_memory(session);
    lort_course_add(&session->course, lort_session_seconds(session), now.anon_bytes,
                    now.file_bytes);
    report->ended_ns = lort_os_time_ns();
    report->peak_anon_bytes = session->peak_anon;
    report->peak_file_bytes = session->peak_file;
    report->peak_rss_bytes = session->peak_rss;
    report->cgroup_peak_bytes = now.cgroup_peak_bytes;
    if (now.stall_us >= session->stall_start_us)
        report->stall_seconds = (double)(now.stall_us - session->stall_start_us) * 1e-6;
    report->seconds = lort_session_seconds(session);
}

void lort_session_close(lort_session *session)
{
    if (!session->report || !session->budget) {
        lort_host_leave(&session->host);
        return;
    }
    report_run(session);
    lort_report_uncharge(session->report);
    report_course(session);
    lort_pool_close(session->pool);
    for (unsigned i = 0; session->scratch && i < session->threads; i++)
        lort_scratch_close(&session->scratch[i], &session->alloc);
    lort_give(&session->alloc, session->scratch, session->threads * sizeof *session->scratch);
    lort_budget_close(session->spare);
    session->spare = NULL;
    lort_budget_release(session->budget, session->reserved);
    lort_budget_close(session->budget);
    session->budget = NULL;
    lort_host_leave(&session->host);
}

double lort_session_seconds(const lort_session *session)
{
    return (double)(lort_os_clock_ns() - session->start_ns) * 1e-9;
}

/* Takes a sample for the course of the run, if it is time. */
static void note_course(lort_session *session)
{
    const double seconds = lort_session_seconds(session);
    if (session->thread != &this_thread || !lort_course_due(&session->course, seconds))
        return;
    const lort_process_memory now = sample_memory(session);
    lort_course_add(&session->course, seconds, now.anon_bytes, now.file_bytes);
}

/* Tells how far the work is, if nothing was told for a while. */
static void say_progress(lort_session *session)
{
    if (session->thread != &this_thread || !session->observer || !session->observer->event ||
        lort_os_clock_ns() < session->said_ns + SAY_NS)
        return;
    lort_session_say(session, LORT_EVENT_PROGRESS, NULL, NULL);
}

lort_code lort_session_check_stop(lort_session *session, lort_error *err)
{
    const lort_observer *observer = session->observer;
    note_course(session);
    say_progress(session);
    if (observer && observer->stop && observer->stop(observer->ctx))
        return lort_fail(err, LORT_E_STOPPED, "stopped; nothing was published");
    if (session->time_limit > 0 && lort_session_seconds(session) >= session->time_limit)
        return lort_fail(err, LORT_E_STOPPED,
                         "the time limit of %g s is reached; nothing was published",
                         session->time_limit);
    return LORT_OK;
}

bool lort_session_stops(void *session) { return lort_session_check_stop(session, NULL) != LORT_OK; }

void lort_session_enter(lort_session *session, lort_phase phase)
{
    lort_meter_enter(&session->meter, phase, lort_os_clock_ns());
    note_course(session);
    lort_session_work_on(session, NULL);
    lort_session_say(session, LORT_EVENT_PROGRESS, NULL, NULL);
}

void lort_session_reads_back(void *session, uint64_t done, uint64_t total)
{
    lort_session *s = session;
    if (total == 0)
        return;
    if (done == 0) {
        s->phase_before = s->meter.now;
        s->back_bytes = 0;
        lort_session_enter(s, LORT_PHASE_READING_BACK);
        return;
    }
    lort_session_did(s, done - s->back_bytes, done - s->back_bytes, 0);
    s->back_bytes = done;
    const lort_meter_phase *before = &s->meter.phases[s->phase_before];
    if (done == total && before->done_cost < before->cost)
        lort_session_enter(s, s->phase_before);
}

void lort_session_end(lort_session *session)
{
    lort_meter_end(&session->meter);
    lort_session_say(session, LORT_EVENT_PROGRESS, NULL, NULL);
}

void lort_session_did(lort_session *session, uint64_t cost, uint64_t bytes, uint64_t tensors)
{
    lort_meter_done(&session->meter, session->meter.now, cost, bytes, tensors);
}

void lort_session_tick(lort_session *session, uint64_t cost)
{
    lort_meter_tick(&session->meter, cost);
}

void lort_session_work_on(lort_session *session, const lort_tensor_report *entry)
{
    session->at_work = entry;
}

/* The figures of the phase. Phases before and after the writing have bytes and tensors
 * of their own. */
static void fill_figures(lort_session *session, lort_event *event)
{
    lort_meter *meter = &session->meter;
    const lort_meter_phase *phase = &meter->phases[meter->now];
    const lort_meter_figures figures = lort_meter_read(meter, session->said_ns);
    const bool apart = meter->now == LORT_PHASE_MEASURING || meter->now == LORT_PHASE_READING_BACK;
    const uint64_t bytes = phase->before_bytes + figures.bytes;
    event->phase = meter->now;
    event->attempt = meter->attempt;
    event->share = figures.share;
    event->seconds_left = figures.left;
    event->bytes_per_second = figures.rate;
    event->total_bytes = apart ? phase->before_bytes + phase->bytes : session->total_bytes;
    event->done_bytes = apart || bytes > session->done_bytes ? bytes : session->done_bytes;
    if (event->done_bytes > event->total_bytes)
        event->done_bytes = event->total_bytes;
    event->tensors_done =
        apart ? phase->before_tensors + phase->done_tensors : session->tensors_done;
    event->tensors_total = apart ? phase->before_tensors + phase->tensors : session->tensors_total;
}

void lort_session_say(lort_session *session, lort_event_kind kind, const lort_tensor_report *tensor,
                      const char *text)
{
    if (!session->observer || !session->observer->event)
        return;
    const lort_tensor_report *at_work = session->at_work;
    const lort_tensor_report shown = {.name = at_work ? at_work->name : ""};
    session->said_ns = lort_os_clock_ns();
    lort_event event = {.kind = kind,
                        .text = text,
                        .report = session->report,
                        .tensor = kind == LORT_EVENT_PROGRESS && at_work ? &shown : tensor,
                        .out_bytes = session->out_bytes,
                        .worst_error = session->worst_error,
                        .seconds = lort_session_seconds(session)};
    fill_figures(session, &event);
    session->report->peak_anon_bytes = session->peak_anon;
    lort_host_lend(&session->host);
    session->observer->event(session->observer->ctx, &event);
    lort_host_return(&session->host);
}

void lort_session_warn_text(void *session, const char *text)
{
    lort_session *s = session;
    const char *warning = lort_report_warn(s->report, "%s", text);
    if (warning)
        lort_session_say(s, LORT_EVENT_WARNING, NULL, warning);
}

void lort_session_warn(lort_session *session, const char *format, ...)
{
    char text[900];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    lort_session_warn_text(session, text);
}
