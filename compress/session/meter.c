/* meter: see meter.h. */
#include "compress/session/meter.h"
#include <math.h>

/* Until so much of a phase is done, its own pace counts less than that of the run before it. */
#define YOUNG 0.03
/* The part of a phase that pieces in work may fill, as told by ticks. */
#define IN_WORK_MOST 0.98

void lort_meter_expect(lort_meter *meter, lort_phase phase, uint64_t cost, uint64_t bytes,
                       uint64_t tensors)
{
    lort_meter_phase *p = &meter->phases[phase];
    p->cost = cost;
    p->bytes = bytes;
    p->tensors = tensors;
}

void lort_meter_before(lort_meter *meter, lort_phase phase, uint64_t bytes, uint64_t tensors)
{
    meter->phases[phase].before_bytes = bytes;
    meter->phases[phase].before_tensors = tensors;
}

static double seconds_between(uint64_t from_ns, uint64_t to_ns)
{
    return to_ns > from_ns ? (double)(to_ns - from_ns) * 1e-9 : 0;
}

void lort_meter_enter(lort_meter *meter, lort_phase phase, uint64_t now_ns)
{
    if (meter->entered_ns) {
        meter->phases[meter->now].seconds += seconds_between(meter->entered_ns, now_ns);
        meter->phases[meter->now].spent += seconds_between(meter->entered_ns, now_ns);
    }
    meter->entered_ns = now_ns;
    if (phase != meter->now)
        meter->told_bytes = 0;
    meter->now = phase;
}

void lort_meter_done(lort_meter *meter, lort_phase phase, uint64_t cost, uint64_t bytes,
                     uint64_t tensors)
{
    lort_meter_phase *p = &meter->phases[phase];
    atomic_fetch_add(&p->done_cost, cost);
    atomic_fetch_add(&p->done_bytes, bytes);
    atomic_fetch_add(&p->done_tensors, tensors);
    atomic_store(&p->ticks_before, p->ticks);
}

void lort_meter_tick(lort_meter *meter, uint64_t cost)
{
    atomic_fetch_add_explicit(&meter->phases[meter->now].ticks, cost, memory_order_relaxed);
}

/* The cost that is done, pieces in work included. Ticks since the last finished piece tell of
 * those, scaled by what finished pieces took. */
static double progress_of(const lort_meter_phase *p)
{
    const double cost = (double)p->cost, done = fmin((double)p->done_cost, cost),
                 before = (double)p->ticks_before, prior = YOUNG * cost,
                 scale = before > 0 && done > 0 ? (prior + before) / (prior + done) : 1;
    return done + fmin(((double)p->ticks - before) / scale, IN_WORK_MOST * (cost - done));
}

static double seconds_of(const lort_meter *meter, unsigned phase, uint64_t now_ns)
{
    return meter->phases[phase].seconds + (phase == meter->now && meter->entered_ns
                                               ? seconds_between(meter->entered_ns, now_ns)
                                               : 0);
}

/* Seconds per cost of a phase. whole: of all phases so far. */
static double pace_of(const lort_meter_phase *p, double seconds, double done, double whole)
{
    const double weight = YOUNG * (double)p->cost, before = p->former > 0 ? p->former : whole;
    return done + weight > 0 ? (seconds + weight * before) / (done + weight) : before;
}

/* Bytes of the phase: those of finished pieces, and a part of the others by their cost. */
static uint64_t bytes_of(lort_meter *meter, double done)
{
    const lort_meter_phase *p = &meter->phases[meter->now];
    const double finished = fmin((double)p->done_cost, (double)p->cost),
                 open = (double)p->cost - finished;
    uint64_t bytes = p->done_bytes < p->bytes ? p->done_bytes : p->bytes;
    if (open > 0)
        bytes += (uint64_t)((double)(p->bytes - bytes) * (done - finished) / open);
    if (bytes > meter->told_bytes)
        meter->told_bytes = bytes;
    return meter->told_bytes;
}

lort_meter_figures lort_meter_read(lort_meter *meter, uint64_t now_ns)
{
    double done[LORT_PHASES], spent = 0, did = 0, left = 0;
    lort_meter_figures out = {.left = NAN};
    for (unsigned i = 0; i < LORT_PHASES; i++) {
        done[i] = progress_of(&meter->phases[i]);
        spent += meter->phases[i].cost ? seconds_of(meter, i, now_ns) : 0;
        did += done[i];
    }
    for (unsigned i = 0; i < LORT_PHASES && did > 0; i++)
        left += ((double)meter->phases[i].cost - done[i]) *
                pace_of(&meter->phases[i], seconds_of(meter, i, now_ns), done[i], spent / did);
    if (did > 0 && spent > 0) {
        out.left = left;
        meter->share = fmax(meter->share, spent / (spent + left));
    }
    out.share = meter->share;
    out.bytes = bytes_of(meter, done[meter->now]);
    const double here = seconds_of(meter, meter->now, now_ns);
    out.rate = here > 0 ? (double)out.bytes / here : NAN;
    return out;
}

void lort_meter_end(lort_meter *meter)
{
    for (unsigned i = 0; i < LORT_PHASES; i++) {
        lort_meter_phase *p = &meter->phases[i];
        p->done_cost = p->cost;
        p->done_bytes = p->bytes;
        p->done_tensors = p->tensors;
        p->ticks_before = p->ticks;
    }
    meter->share = 1;
}

double lort_meter_spent(const lort_meter *meter, lort_phase phase, uint64_t now_ns)
{
    const bool present = phase == meter->now && meter->entered_ns;
    return meter->phases[phase].spent + (present ? seconds_between(meter->entered_ns, now_ns) : 0);
}

void lort_meter_again(lort_meter *meter, uint64_t now_ns)
{
    lort_meter_enter(meter, LORT_PHASE_OPENING, now_ns);
    for (unsigned i = 0; i < LORT_PHASES; i++) {
        lort_meter_phase *p = &meter->phases[i];
        const double did = (double)p->done_cost;
        const double former = did > 0 && p->seconds > 0 ? p->seconds / did : p->former;
        *p = (lort_meter_phase){.former = former, .spent = p->spent};
    }
    meter->share = 0;
    meter->told_bytes = 0;
    meter->attempt++;
}
