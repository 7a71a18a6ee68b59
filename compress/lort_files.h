/* lort_files.h: the bytes of restored files for a program. lort.h includes it. */
#ifndef LORT_FILES_H
#define LORT_FILES_H

#include "formats/base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A handle gives any range of the files that lort_restore would write, without writing them.
 *
 * Threads: any number of threads may call count and info at the same time. One thread at a time may
 * read with a handle; open more handles to read in parallel.
 *
 * A handle keeps the block that the last read decoded: a chunk of a kept tensor, or a band of rows
 * of another one. So reads in order decode nothing twice. A read elsewhere decodes one block. */
typedef struct lort_files lort_files;

/* Options of lort_files_open. lort_files_options_init sets the defaults. The strings must live
 * until lort_files_open returns. */
typedef struct lort_files_options {
    size_t size;           /* set by lort_files_options_init */
    uint64_t memory_bytes; /* memory that the handle may take; 0: as in lort_run_options */
    unsigned threads;      /* workers of a read; 0: cores that the process may use */
    const char *dtype;     /* as in lort_restore_options */
    const char *base;      /* as in lort_run_options */
    const char *tensor;    /* the bytes of this tensor as the only file; NULL: the whole model */
    bool offline;          /* as in lort_run_options */
} lort_files_options;
void lort_files_options_init_sized(lort_files_options *options, size_t size);
static inline void lort_files_options_init(lort_files_options *options)
{
    lort_files_options_init_sized(options, sizeof *options);
}

/* A restored file. name belongs to the handle. */
typedef struct lort_file_entry {
    const char *name; /* relative to the directory of the model; escape it before printing */
    uint64_t bytes;
    bool weights; /* has tensors; else an index or a side file */
    uint64_t reserved[5];
} lort_file_entry;

/* Opens a container for reading its restored files, and checks its headers as lort_restore does.
 * options: NULL: the defaults.
 * On failure *out is NULL: the codes of lort_restore before it writes. LORT_E_MEMORY names the
 * smallest memory that would do.
 * Owner: the caller, who closes *out with lort_files_close. */
lort_code lort_files_open(const char *path, const lort_files_options *options, lort_files **out,
                          lort_error *err);
void lort_files_close(lort_files *files); /* accepts NULL */
/* The number of files. Files have the numbers 0 .. count - 1, in the order of lort_restore. */
uint64_t lort_files_count(const lort_files *files);
/* Describes a file. On failure *out is zero: LORT_E_USAGE if no file has the number. */
lort_code lort_files_info(const lort_files *files, uint64_t number, lort_file_entry *out,
                          lort_error *err);
/* Puts bytes [offset, offset + bytes) of a file into buffer: those that lort_restore would write.
 * The workers share a range of many blocks.
 *
 * A read checks the hash of every chunk behind its bytes, that the factors of their slices are
 * numbers, and that the values fit the type. The hash of a kept tensor or file in its source is
 * checked once reads in order have taken all its bytes. So a program that reads a file from its
 * start to its end, in any pieces, gets the guarantees of lort_restore.
 *
 * On failure the buffer holds no valid bytes. LORT_E_USAGE: no such file, or a range beyond its
 * end. LORT_E_DAMAGED, which names file and tensor. LORT_E_NUMERIC: a value does not fit the type.
 * LORT_E_READ: the container or the base changed or could not be read. LORT_E_MEMORY. */
lort_code lort_files_read(lort_files *files, uint64_t number, uint64_t offset, void *buffer,
                          uint64_t bytes, lort_error *err);

#ifdef __cplusplus
}
#endif
#endif
