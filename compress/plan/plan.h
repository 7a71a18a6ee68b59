/* plan: the plan of a run as data: a decision for each tensor, the memory of each, the mode and the
 * threads.
 *
 * The room plan owns the decisions before any weight is read. It must not read a weight,
 * but to find equal tensors (equal.h) and to sample the lossless size (lossless.h). */
#ifndef LORT_COMPRESS_PLAN_PLAN_H
#define LORT_COMPRESS_PLAN_PLAN_H

#include "compress/session/session.h"
#include "compress/slice/tensor_plan.h"
#include "loader/model/model.h"

typedef struct lort_work_plan {
    lort_tensor_plan *tensors; /* [count], by extent */
    uint64_t count, candidates;
    uint64_t quantised;     /* tensors that are kept since they are quantised already */
    lort_block_need blocks; /* of all slices that are read by blocks */
    lort_mode mode;         /* FULL or STREAM */
    unsigned threads, window;
    /* Slices in work at once. In full mode as many as threads. In stream mode one, or two where
     * memory and page cache have room for both. */
    unsigned abreast;
    /* All workers may help with one slice: always in stream mode, in full mode where memory
     * allows. */
    bool team;
    uint64_t need, peak, limit;
    uint64_t spare;             /* part of peak that is for held blocks */
    uint64_t out_low, out_high; /* estimated output bytes */
    lort_share *shares;         /* of all candidates; [share_count], one per job */
    uint64_t share_count;
    uint64_t size_limit; /* of the whole output; 0: none */
    /* Bytes that the shares leave unused, because an attempt without them missed the size. */
    uint64_t reserve;
    /* The work is that of extents [first, end): of a task its run, else all. tasks 0: no task. */
    uint64_t first, end;
    uint32_t task, tasks;
    /* Hash of the names and importances, or of the names and covariances, that LoRT uses. */
    lort_hash128 importance;
    uint64_t weighed; /* tensors with importances or covariances */
    bool covariance;  /* the hash is of covariances */
} lort_work_plan;

/* Makes the plan of a run from headers and configurations, finds equal tensors by their bytes, and
 * fills the mode, memory and sizes of the report.
 *
 * On failure the plan is empty. LORT_E_NUMERIC: a target size with nothing left to code. If a
 * tensor does not fit into memory, LORT_E_MEMORY names the tensor and the smallest --memory that
 * would do. The plan owns its memory: free it with lort_plan_free. */
lort_code lort_plan_make(lort_session *session, lort_model *model, const lort_options *options,
                         lort_work_plan *plan, lort_error *err);
/* The two halves of lort_plan_make. extents: the decisions, for all extents; the run is all of
 * them. room: mode, memory and threads, for the run in plan->first and plan->end. */
lort_code lort_plan_extents(lort_session *session, lort_model *model, const lort_options *options,
                            lort_work_plan *plan, lort_error *err);
lort_code lort_plan_room(lort_session *session, lort_model *model, const lort_options *options,
                         lort_work_plan *plan, lort_error *err);
/* Frees the shares, if there are any. Tensors have none then, as after lort_plan_make. */
void lort_plan_drop_shares(lort_work_plan *plan, const lort_alloc *alloc);
void lort_plan_free(lort_work_plan *plan, const lort_alloc *alloc);

/* Appends " imatrix=HASH", an XXH3-128 of the names and importances that LoRT uses. Both forms of
 * the file give the same hash. With covariances it appends " covariance=HASH", of the bytes of
 * their numbers. Appends nothing if LoRT uses neither. */
void lort_plan_importance_text(const lort_work_plan *plan, lort_buffer *out);

#endif
