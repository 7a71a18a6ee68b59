/* exchange: the exact search that fills what a price per byte leaves of a budget (allocate.h).
 *
 * The price tells for each type of a tensor its loss: how much cost + price x bytes is above the
 * least. Every allocation costs the bound, plus its losses, plus price x unused bytes. So a tensor
 * leaves its first type only for a loss below the gap between the best found and the bound. The
 * search takes tensors in the order of loss per byte, and keeps partial exchanges that no other
 * one dominates and that may still close the gap. */
#ifndef LORT_COMPRESS_CHOICE_EXCHANGE_H
#define LORT_COMPRESS_CHOICE_EXCHANGE_H

#include "compress/choice/allocate.h"

/* Types of all tensors that are of use: of tensor t, order[t * types + 0 .. n[t]), by rising bytes
 * and falling cost. */
typedef struct lort_menu {
    const lort_choice *choices; /* [count][types] */
    uint64_t count;
    uint32_t types;
    const uint8_t *order, *n;
} lort_menu;

/* Improves chosen[0, count), which has the least cost + price x bytes of each tensor. slack: unused
 * bytes of the budget. noise: gaps below this are rounding. *gap: how much more the result may cost
 * than the best; 0 if it is the best. On failure: LORT_E_MEMORY. */
lort_code lort_exchange(const lort_alloc *alloc, const lort_menu *menu, double price, int64_t slack,
                        double noise, uint8_t *chosen, double *gap, lort_error *err);

#endif
