/* base: the base model of a fine-tune, whose tensors the container refers to.
 *
 * A base is a model, or a container that holds one losslessly. The room owns pairs of models and
 * their differences. It must not write a file or choose a target. */
#ifndef LORT_COMPRESS_DELTA_BASE_H
#define LORT_COMPRESS_DELTA_BASE_H

#include "compress/read/input.h"

typedef struct lort_base lort_base;

/* How a tensor stands to the tensor of its name in the base. */
typedef enum lort_base_match {
    LORT_BASE_WHOLE, /* equal types and shapes */
    LORT_BASE_ROWS,  /* other first dimensions: their common rows match */
    LORT_BASE_NEW,   /* the base lacks the tensor */
    LORT_BASE_TYPE,  /* another type */
    LORT_BASE_SHAPE  /* another shape */
} lort_base_match;

/* Opens the base for up to `threads` readers, and notes it in the report.
 * weights: as in lort_options; the base may lack this form.
 * On failure: the codes of lort_input_open. LORT_E_INPUT: a container that does not hold its model
 * losslessly, or is a difference itself.
 * Owner: the caller, who closes *out with lort_base_close. */
lort_code lort_base_open(lort_session *session, const char *path, const char *weights,
                         lort_base **out, lort_error *err);
/* Opens the base of a fine-tune with these tensors as session->base, and notes in the report how
 * each tensor stands to it. The report has its entries. */
lort_code lort_base_open_for(lort_session *session, const lort_options *options,
                             const lort_index *tensors, lort_error *err);
void lort_base_close(lort_base *base); /* accepts NULL */
/* LORT_E_READ if a file of the base changed since it was opened. */
lort_code lort_base_unchanged(const lort_base *base, lort_error *err);
/* The files of the base as an input. */
const lort_input *lort_base_input(const lort_base *base);
/* Most bytes that reading the base takes with so many threads, beside what opening took. base: may
 * be NULL. */
uint64_t lort_base_cost(const lort_base *base, unsigned threads);

/* Finds the tensor of the base with the name of `tensor`. *number: its number, if they match. */
lort_base_match lort_base_find(const lort_base *base, const lort_tensor *tensor, uint64_t *number);
/* A short phrase for a tensor that has no difference, or only one of some rows; "" for WHOLE. */
const char *lort_base_match_text(lort_base_match match);
/* Fills what a record says of a tensor of the base: its name, and the hash of its bytes. */
lort_code lort_base_describe(lort_base *base, uint64_t number, lort_base_tensor *out,
                             lort_error *err);
/* Puts bytes [offset, offset + n) of a tensor into dst, and zeros behind its end. Threads: any
 * number at a time. On failure: LORT_E_READ, LORT_E_DAMAGED, LORT_E_MEMORY. */
lort_code lort_base_bytes(lort_base *base, uint64_t number, uint64_t offset, uint64_t n,
                          uint8_t *dst, lort_error *err);
/* Subtracts elements [first, first + n) of a tensor from dst; behind its end nothing. The type has
 * one element a block. On failure: as lort_base_bytes. */
lort_code lort_base_subtract(lort_base *base, uint64_t number, uint64_t first, uint64_t n,
                             float *dst, lort_error *err);
/* Releases the pages of a tensor of a model, behind a reader. Advice only. */
void lort_base_release(lort_base *base, uint64_t number);
/* Lists the weight files of the base in a MODEL record. Owner of the list: the arena. */
lort_code lort_base_list(lort_base *base, lort_arena *arena, lort_model_record *record,
                         lort_error *err);

/* Opens the base of a container, compares names, sizes and headers, and gives the base to the
 * archive. path NULL: there is none; *out is NULL then. A container without differences needs no
 * base: a warning says so.
 * On failure: the codes of lort_base_open; LORT_E_USAGE: the container needs a base;
 * LORT_E_INPUT: it is another base. */
lort_code lort_base_attach(lort_session *session, const char *path, lort_archive *archive,
                           lort_base **out, lort_error *err);
/* The same for two inputs. Models among them need no base. */
lort_code lort_base_attach_two(lort_session *session, const char *path, const lort_input *a,
                               const lort_input *b, lort_base **out, lort_error *err);

#endif
