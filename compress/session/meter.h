/* meter: how far a command is, and how long the rest will take.
 *
 *   cost       the work that is expected of a phase, in weights that are coded once
 *   ticks      the work that was really done, in the same unit; any thread counts it
 *   pace(p)    seconds per cost of phase p: its own, and that of the whole run while it is young
 *   left       sum over p of (cost(p) - done(p)) * pace(p)
 *   share      spent / (spent + left)
 *
 * Ticks tell how far the pieces in work are. Finished pieces count by their cost alone. Nothing
 * here decides about a tensor, so the clock cannot change a byte. */
#ifndef LORT_COMPRESS_SESSION_METER_H
#define LORT_COMPRESS_SESSION_METER_H

#include "compress/lort.h"
#include <stdatomic.h>

typedef struct lort_meter_phase {
    uint64_t cost, bytes, tensors; /* expected, of this run */
    _Atomic uint64_t done_cost, done_bytes, done_tensors;
    _Atomic uint64_t ticks, ticks_before;  /* before: up to the last finished piece */
    uint64_t before_bytes, before_tensors; /* of an earlier run; they cost nothing */
    double seconds;                        /* spent in it, up to the last change of phase */
    double spent;                          /* the same, of all attempts */
    double former;                         /* pace of an earlier attempt; 0: none */
} lort_meter_phase;

typedef struct lort_meter {
    lort_meter_phase phases[LORT_PHASES];
    lort_phase now;
    uint64_t entered_ns; /* when the phase began or went on */
    double share;        /* the largest that was told: it never falls within an attempt */
    uint64_t told_bytes; /* the same for the bytes of the phase */
    unsigned attempt;    /* 0: the first */
} lort_meter;

/* What is told of a moment. left: NaN while it is unknown. */
typedef struct lort_meter_figures {
    double share, left, rate; /* 0 to 1; seconds; bytes per second of the phase */
    uint64_t bytes;           /* of the phase, pieces in work included */
} lort_meter_figures;

/* Sets what a phase will cost. A phase that nobody expects costs nothing. */
void lort_meter_expect(lort_meter *meter, lort_phase phase, uint64_t cost, uint64_t bytes,
                       uint64_t tensors);
/* Notes what an earlier run did of a phase. */
void lort_meter_before(lort_meter *meter, lort_phase phase, uint64_t bytes, uint64_t tensors);
/* From now on time counts for this phase. A phase may be left and entered again. */
void lort_meter_enter(lort_meter *meter, lort_phase phase, uint64_t now_ns);
/* A piece of the phase is finished. Any thread may call. */
void lort_meter_done(lort_meter *meter, lort_phase phase, uint64_t cost, uint64_t bytes,
                     uint64_t tensors);
/* Work within a piece of the present phase. Any thread may call. */
void lort_meter_tick(lort_meter *meter, uint64_t cost);
/* Seconds that were spent in a phase, in all attempts. */
double lort_meter_spent(const lort_meter *meter, lort_phase phase, uint64_t now_ns);
/* Starts another attempt at the whole work, which remembers the paces of this one. */
void lort_meter_again(lort_meter *meter, uint64_t now_ns);
/* All is done, whatever was expected. */
void lort_meter_end(lort_meter *meter);
/* Threads: one at a time. */
lort_meter_figures lort_meter_read(lort_meter *meter, uint64_t now_ns);

#endif
