/* target: see target.h. */
#include "compress/task/target.h"
#include <math.h>

#define RESERVE_LEAST 16 /* bytes that the next attempt leaves unused, at least */

double lort_target_bpw(const lort_size_target *target, double counted)
{
    return target->elements > 0 ? 8 * counted / target->elements : NAN;
}

lort_code lort_target_check(const lort_size_target *target, uint64_t bytes, double counted,
                            uint64_t *over, lort_error *err)
{
    const double bpw = lort_target_bpw(target, counted);
    *over = 0;
    if (target->bpw_limit > 0 && bpw > target->bpw_limit) {
        *over = 1 + (uint64_t)((bpw - target->bpw_limit) * target->elements / 8);
        return lort_fail(
            err, LORT_E_NUMERIC,
            "the output has %.7g bits per weight (allowed %.7g); nothing was published", bpw,
            target->bpw_limit);
    }
    if (target->size_limit == 0 || bytes <= target->size_limit)
        return LORT_OK;
    *over = bytes - target->size_limit;
    return lort_fail(err, LORT_E_NUMERIC,
                     "the output has %llu bytes (allowed %llu); nothing was published",
                     (unsigned long long)bytes, (unsigned long long)target->size_limit);
}

uint64_t lort_target_reserve(uint64_t reserve, uint64_t over)
{
    return reserve + over + over / 4 + RESERVE_LEAST;
}
