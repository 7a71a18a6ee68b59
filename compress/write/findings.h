/* findings: what the first reading of a model tells under a target size: the curve of each slice of
 * a candidate, and the lossless size of all else. */
#ifndef LORT_COMPRESS_WRITE_FINDINGS_H
#define LORT_COMPRESS_WRITE_FINDINGS_H

#include "compress/slice/curve.h"
#include "compress/write/jobs.h"

/* The figures of one job. */
typedef struct lort_finding {
    lort_job job;
    bool read;           /* taken from notes */
    lort_hash128 source; /* of a candidate: of the bytes that the curve is of */
    lort_curve curve;
    uint64_t kept; /* bytes of a job that is no candidate */
} lort_finding;

typedef struct lort_findings {
    const lort_decider *decider;
    lort_work_plan *plan;
    lort_pool *team;
    lort_finding *items; /* [count], one per job of the model */
    uint64_t count;
    uint64_t first, end; /* the jobs of the run in the plan */
    bool touched;        /* curves of the journal may be of other weights */
} lort_findings;

/* Bytes of a finding: the body of a CURVE note, and a curve of a curve file. */
#define LORT_FINDING_BYTES                                                                         \
    (sizeof(lort_hash128) + 8 * (5 + 2 * LORT_CURVE_POINTS) + LORT_CURVE_POINTS)

/* Lists the jobs of the whole model, without figures. Close them after a failure too. */
lort_code lort_findings_open(const lort_decider *decider, lort_work_plan *plan, lort_findings *out,
                             lort_error *err);
/* Reads the run of the plan, but for what the journal has. Notes each finding in the journal. */
lort_code lort_findings_read(lort_findings *findings, lort_error *err);
/* Compares the weights of the run with the hashes of its curves. On failure: LORT_E_READ names the
 * first tensor that differs. */
lort_code lort_findings_check(lort_findings *findings, lort_error *err);
void lort_findings_close(lort_findings *findings);

void lort_finding_put(const lort_finding *finding, lort_buffer *body);
/* Takes the finding of a job; a lort_note_fn, ctx is the findings. Ignores one of another size, and
 * figures that no reading can give. */
lort_code lort_finding_take(void *ctx, uint64_t number, const uint8_t *body, uint64_t bytes,
                            lort_error *err);

#endif
