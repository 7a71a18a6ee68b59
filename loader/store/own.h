/* own: proves that LoRT made a file, before LoRT takes the file over, empties or deletes it.
 *
 * LoRT made a file if all of this is true: it is a regular file with one name, its owner is the
 * owner of files that LoRT makes there, and it begins as files of its kind begin. A killed run can
 * leave an empty file, and a loss of power a few zeros. Such a file is LoRT's as well. A name alone
 * proves nothing. */
#ifndef LORT_LOADER_STORE_OWN_H
#define LORT_LOADER_STORE_OWN_H

#include "loader/os/os.h"

/* bytes of a file that a lort_own_fn gets, or fewer at the end of the file */
#define LORT_OWN_HEAD 128
#define LORT_OWN_BEGIN 96 /* bytes that lort_own_begin writes at most; fewer than LORT_OWN_HEAD */
/* True if a file that begins with these n > 0 bytes can be of the kind. A file can end early: a
 * beginning of the right bytes is right. */
typedef bool lort_own_fn(const uint8_t *head, uint64_t n);
/* Compares n bytes for a lort_own_fn. One byte of 8 or more may differ: a file that a disk damaged
 * is still LoRT's. */
bool lort_own_resembles(const uint8_t *head, const uint8_t *wanted, uint64_t n);

/* Opens the file `name` in dir for reading and writing if LoRT made it. *file: NULL where there is
 * nothing. begins: NULL: only an empty file is LoRT's. Changes nothing. On failure: LORT_E_EXISTS
 * if LoRT cannot prove that it made what is there, else LORT_E_WRITE. */
lort_code lort_own_open(lort_dir *dir, const char *name, lort_own_fn *begins, lort_file **file,
                        lort_error *err);
/* LORT_E_EXISTS if it is not a regular file with one name and the right owner. */
lort_code lort_own_check(lort_dir *dir, const char *name, const lort_file_info *info,
                         lort_error *err);
/* Returns LORT_E_EXISTS: `name` is not from LoRT, because of the reason `why`. */
lort_code lort_own_refuse(lort_dir *dir, const char *name, const char *why, lort_error *err);
/* Empties the file and writes its beginning, n bytes, at most LORT_OWN_BEGIN. Nothing else may be
 * written before this returns: then the beginning is on the disk, and proves after a loss of power
 * that the file is LoRT's. On failure: LORT_E_WRITE. */
lort_code lort_own_begin(lort_file *file, const void *beginning, uint64_t n, lort_error *err);
/* Removes `name` if it still leads to `file`; else leaves it. */
lort_code lort_own_remove(lort_dir *dir, const char *name, const lort_file *file, lort_error *err);

#endif
