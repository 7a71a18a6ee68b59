/* plan: per-tensor decisions as data, the memory each step needs, and the mode. Made before the
 * first weight is read. */
#ifndef LORT_COMPRESS_PLAN_PLAN_H
#define LORT_COMPRESS_PLAN_PLAN_H

#include "compress/session/session.h"
#include "compress/slice/tensor_plan.h"
#include "loader/model/model.h"

typedef struct lort_work_plan {
    lort_tensor_plan *tensors; /* [count], by extent */
    uint64_t count, candidates;
    lort_block_need blocks; /* of quantised slices */
    lort_mode mode;         /* FULL or STREAM */
    unsigned threads, window;
    /* slices in work at once: as many as threads in full mode; in stream mode one, or two where
     * memory and page cache have room for both */
    unsigned abreast;
    /* all workers may help with one slice: always in stream mode, in full mode where memory allows
     */
    bool team;
    uint64_t need, peak, limit;
    uint64_t spare;             /* of peak: for coded blocks that are held */
    uint64_t out_low, out_high; /* estimated output bytes */
    lort_share *shares;         /* of all steps that are tried */
    uint64_t share_count;
    uint64_t size_limit; /* of the whole output; 0: none */
    /* bytes that shares leave unused, since an attempt without them missed the size */
    uint64_t reserve;
    lort_hash128 importance; /* of the names and importances that are used */
    uint64_t weighed;        /* steps that have them */
} lort_work_plan;

/* LORT_E_MEMORY, naming the tensor and the smallest memory that would do, when one step does not
 * fit. Fills the report's mode part. */
lort_code lort_plan_make(lort_session *session, const lort_model *model,
                         const lort_options *options, lort_work_plan *plan, lort_error *err);
/* Shares that were given; the plan is as it was before. */
void lort_plan_drop_shares(lort_work_plan *plan, const lort_alloc *alloc);
void lort_plan_free(lort_work_plan *plan, const lort_alloc *alloc);

/* " imatrix=HASH": XXH3-128 of names and importances that are used, whatever form of file they came
 * from. Nothing without any. */
void lort_plan_importance_text(const lort_work_plan *plan, lort_buffer *out);

#endif
