/* table: see table.h. */
#include "compress/task/table.h"
#include "compress/plan/room.h"
#include "compress/session/report.h"
#include "compress/task/runs.h"

static uint64_t count_tensors(const lort_work_plan *plan, const lort_run *run)
{
    uint64_t tensors = 0;
    for (uint64_t i = run->first; i < run->end; i++)
        tensors += plan->tensors[i].tensor != NULL;
    return tensors;
}

static void fill_report(lort_session *session, const lort_options *options, lort_work_plan *plan,
                        const lort_run *runs)
{
    lort_report *report = session->report;
    double total = 0, most = 0;
    for (uint64_t t = 0; t < report->run_count; t++) {
        total += (double)runs[t].cost;
        most = (double)runs[t].cost > most ? (double)runs[t].cost : most;
    }
    for (uint64_t t = 0; t < report->run_count; t++)
        report->runs[t] =
            (lort_run_report){.first = runs[t].first,
                              .extents = runs[t].end - runs[t].first,
                              .tensors = count_tensors(plan, &runs[t]),
                              .bytes_in = runs[t].bytes,
                              .share = total > 0 ? (double)runs[t].cost / total : 0,
                              .memory_bytes = lort_room_run_bytes(session, options, plan,
                                                                  runs[t].first, runs[t].end)};
    report->slowest_over_mean = total > 0 ? most * (double)report->run_count / total : 1;
}

lort_code lort_task_table(const lort_decider *decider, lort_work_plan *plan, lort_error *err)
{
    lort_session *session = decider->session;
    const lort_options *options = decider->options;
    uint64_t count;
    void *memory;
    if (options->tasks == 0)
        return LORT_OK;
    const uint64_t bytes = options->tasks * sizeof(lort_run);
    lort_code code = lort_take(&session->alloc, bytes, "runs", &memory, err);
    if (code)
        return code;
    lort_runs_cut(options, plan, lort_model_extents(decider->model, &count), options->tasks,
                  memory);
    code = lort_report_runs(session->report, options->tasks, err);
    if (code == LORT_OK)
        fill_report(session, options, plan, memory);
    lort_give(&session->alloc, memory, bytes);
    return code;
}
