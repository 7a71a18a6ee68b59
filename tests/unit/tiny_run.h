/* A session, a model and a plan for tests of compress/, on models of tests/unit/tiny_model.h.
 * Include after cmocka.h. */
#ifndef LORT_TESTS_TINY_RUN_H
#define LORT_TESTS_TINY_RUN_H

#include "compress/plan/plan.h"
#include "compress/session/report.h"
#include "compress/slice/decide.h"
#include "tests/unit/tiny_model.h"

#define TINY_PLENTY (UINT64_C(64) << 30) /* a --memory that never binds; no test takes so much */

typedef struct tiny_run {
    lort_session session; /* its allocator points to it, so a run must not move */
    lort_report report;
    lort_model *model;
    lort_options options;
    lort_work_plan plan;
    lort_decider decider;
    lort_error err;
} tiny_run;

static inline void tiny_ok(lort_code code, const lort_error *err)
{
    if (code)
        fail_msg("code %d: %s", code, err->message);
}

/* Session and model, with the default options. */
static inline void tiny_run_open(tiny_run *run, const char *path, uint64_t memory, unsigned threads)
{
    memset(run, 0, sizeof *run);
    lort_options_init(&run->options);
    run->options.residual = LORT_RESIDUAL_NONE; /* tests of integers ask for them */
    run->options.memory_bytes = memory;
    run->options.threads = threads;
    tiny_ok(lort_session_open(&run->session, LORT_COMMAND_COMPRESS, memory, threads, NULL,
                              &run->report, &run->err),
            &run->err);
    tiny_ok(lort_model_open(path, &run->session.alloc, NULL, NULL, &run->model, &run->err),
            &run->err);
    run->decider = (lort_decider){&run->session, run->model, &run->options, NULL, NULL};
}

static inline lort_code tiny_run_plan(tiny_run *run)
{
    return lort_plan_make(&run->session, run->model, &run->options, &run->plan, &run->err);
}

/* Plan and workers: ready for lort_decide. */
static inline void tiny_run_start(tiny_run *run)
{
    tiny_ok(tiny_run_plan(run), &run->err);
    tiny_ok(lort_session_start(&run->session, run->plan.threads, run->options.zstd_level,
                               LORT_CHUNK_TARGET, &run->plan.blocks, &run->err),
            &run->err);
}

static inline void tiny_run_close(tiny_run *run)
{
    lort_plan_free(&run->plan, &run->session.alloc);
    lort_model_close(run->model);
    lort_session_close(&run->session);
    lort_report_free(&run->report);
}

static inline const lort_tensor_plan *tiny_run_planned(const tiny_run *run, const char *name)
{
    for (uint64_t i = 0; i < run->plan.count; i++)
        if (run->plan.tensors[i].tensor && strcmp(run->plan.tensors[i].tensor->name, name) == 0)
            return &run->plan.tensors[i];
    fail_msg("no tensor %s", name);
    return NULL;
}

#endif
