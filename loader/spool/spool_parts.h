/* spool_parts: owns the types and functions that the spool*.c files share. No other room includes
 * it.
 *
 *     spool.c         opens and closes the model; the functions of its supply
 *     spool_list.c    the names of the files, in the order of a walk
 *     spool_slots.c   slots: which units lie where
 *     spool_fetch.c   what is fetched, by whom: readers, and threads that read ahead
 *     spool_proof.c   SHA-256 of the files */
#ifndef LORT_LOADER_SPOOL_SPOOL_PARTS_H
#define LORT_LOADER_SPOOL_SPOOL_PARTS_H

#include "formats/base/sha256.h"
#include "loader/remote/remote.h"
#include "loader/spool/spool.h"

#define LORT_SPOOL_PAGE 4096u
#define LORT_SPOOL_UNIT (64u << 10)
#define LORT_SPOOL_UNIT_PAGES (LORT_SPOOL_UNIT / LORT_SPOOL_PAGE)
/* Bytes of a request at most: at 100 MB/s and a wait of 50 ms, a request waits a third of its
 * time. */
#define LORT_SPOOL_PIECE (8u << 20)
#define LORT_SPOOL_THREADS 6u         /* connections that read ahead; a reader has one more */
#define LORT_SPOOL_RANGES 1024u       /* that wait to be read ahead */
#define LORT_SPOOL_PROOF (256u << 10) /* bytes that are hashed at once */
#define LORT_SPOOL_WARNINGS 4u
#define LORT_SPOOL_NONE UINT32_MAX

typedef struct lort_spool_unit {
    uint32_t slot;         /* LORT_SPOOL_NONE: none */
    uint16_t have, flight; /* a bit for each page: it is here; somebody fetches it */
} lort_spool_unit;

typedef struct lort_spool_slot {
    uint32_t stamp;   /* how often the slot was freed */
    uint16_t written; /* a bit for each page that ever lay in it */
} lort_spool_slot;

typedef struct lort_spool_file {
    uint32_t number;  /* at the remote */
    const char *path; /* below the folder that is the model */
    uint64_t size;
    const char *identity;
    lort_spool_unit *units; /* NULL: no byte was asked for yet */
    uint64_t unit_count;
    lort_sha256 proof;     /* of the first proof.bytes bytes */
    bool proved;           /* the whole file has the hash that the server promised */
    const uint8_t *loaded; /* full mode: the bytes from loaded_from on */
    uint64_t loaded_from;
} lort_spool_file;

typedef struct lort_spool_range {
    uint32_t file;
    uint64_t from, to; /* pages */
} lort_spool_range;

/* A run of pages that one thread fetches. */
typedef struct lort_spool_claim {
    lort_spool_file *file;
    uint64_t from, to; /* pages */
    uint32_t slots[LORT_SPOOL_PIECE / LORT_SPOOL_UNIT + 1];
} lort_spool_claim;

/* A file that is loaded into memory, piece by piece. */
typedef struct lort_spool_load {
    lort_spool_file *file;
    uint8_t *memory;
    uint64_t from;                /* memory has the bytes from here on */
    uint64_t each;                /* bytes of a piece */
    uint64_t next, pieces, ready; /* pieces that were begun, of all, that are complete */
} lort_spool_load;

typedef struct lort_spool {
    const lort_alloc *alloc;
    lort_arena arena;
    lort_remote *remote;
    lort_model_source source;
    lort_spool_file *files; /* in the order of a walk */
    uint32_t file_count;
    bool keep;
    lort_warn_fn *warn;
    void *warn_ctx;
    const void *thread; /* stands for the thread that opened the model; it alone warns */
    lort_dir *dir;      /* where the spool lies */
    lort_file *file;
    uint8_t *buffer; /* for proofs; NULL: not taken yet */

    /* guards all below, and the units of the files */
    lort_mutex *mutex;
    lort_cond *changed;     /* pages came or went, or work came */
    lort_error failed;      /* of a thread; code LORT_OK: none */
    lort_spool_slot *slots; /* [slot_room] */
    uint32_t *free_slots;   /* [slot_room] */
    uint32_t slot_count, free_count, slot_room;
    uint32_t sparse_count;   /* free slots with little on the disk come first: used last */
    uint64_t pages, written; /* pages that are here or on their way; that ever lay on the disk */
    uint64_t plan;           /* most bytes that the spool will hold */
    uint64_t pages_ahead;    /* the number of pages above which nobody reads ahead */
    char warnings[LORT_SPOOL_WARNINGS][400]; /* of other threads; they wait for the caller's */
    uint32_t warning_count;
    lort_spool_range ranges[LORT_SPOOL_RANGES];
    uint32_t range_count;
    lort_spool_load load;
    lort_thread *threads[LORT_SPOOL_THREADS];
    uint32_t thread_count;
    bool closing, proving;
} lort_spool;

static inline uint64_t lort_spool_pages(const lort_spool_file *file)
{
    return (file->size + LORT_SPOOL_PAGE - 1) / LORT_SPOOL_PAGE;
}

/* ---- spool_list.c ---- */

/* Lists the files of the remote below `folder` ("": all) into spool->files, in the order of a walk
 * through a directory. */
lort_code lort_spool_list(lort_spool *spool, const char *folder, lort_error *err);
/* NULL: there is none. */
lort_spool_file *lort_spool_named(const lort_spool *spool, const char *path);

/* ---- spool_slots.c ---- */

/* Opens the file of the spool in its directory. */
lort_code lort_spool_open_file(lort_spool *spool, lort_error *err);
/* Finds the first pages in [from, to) that are neither here nor on their way, and gives them slots:
 * `most` bytes at most. claim->from == claim->to: there are none. The mutex is held. */
lort_code lort_spool_claim_pages(lort_spool *spool, lort_spool_file *file, uint64_t from,
                                 uint64_t to, uint64_t most, lort_spool_claim *claim,
                                 lort_error *err);
/* The pages of the claim up to page `got` are here now, the others are not. The mutex is held. */
void lort_spool_settle(lort_spool *spool, const lort_spool_claim *claim, uint64_t got);
/* Tells of pages [from, to) whether all are here, and whether some are on their way. */
bool lort_spool_here(const lort_spool_file *file, uint64_t from, uint64_t to, bool *flight);
/* Frees pages [from, to) that are here. The mutex is held. */
void lort_spool_free_pages(lort_spool *spool, lort_spool_file *file, uint64_t from, uint64_t to);
/* Copies bytes that are here. *moved: another thread freed some of them meanwhile. */
lort_code lort_spool_copy(lort_spool *spool, lort_spool_file *file, uint8_t *to, uint64_t n,
                          uint64_t offset, bool *moved, lort_error *err);

/* ---- spool_fetch.c ---- */

/* Waits until bytes of a file are here. */
lort_code lort_spool_bring(lort_spool *spool, lort_spool_file *file, uint64_t offset, uint64_t n,
                           lort_error *err);
/* Waits for bytes of a file and copies them. */
lort_code lort_spool_read(lort_spool *spool, lort_spool_file *file, void *buffer, uint64_t n,
                          uint64_t offset, lort_error *err);
void lort_spool_ask(lort_spool *spool, uint32_t file, uint64_t offset, uint64_t n);
/* Nobody wants the pages before `to` any more. The mutex is held. */
void lort_spool_pass(lort_spool *spool, uint32_t file, uint64_t to);
lort_code lort_spool_load_file(lort_spool *spool, lort_spool_file *file, uint64_t from,
                               uint8_t *memory, lort_error *err);
/* Ends the threads. */
void lort_spool_end_threads(lort_spool *spool);

/* ---- spool_proof.c ---- */

lort_code lort_spool_prove(lort_spool *spool, lort_spool_file *file, uint64_t end,
                           lort_buffer *state, lort_error *err);
/* Proves bytes [offset, end), which leave now, if they follow those that were proved. A failure is
 * that of the next read. */
void lort_spool_prove_along(lort_spool *spool, lort_spool_file *file, uint64_t offset,
                            uint64_t end);
void lort_spool_proved(lort_spool_file *file, uint64_t end, const uint8_t *state, uint64_t bytes);

#endif
