/* os: everything LoRT asks of an operating system. os_linux_*.c implement it; os_windows.c can
 * follow without touching anything else. No other file includes an OS, thread or signal header
 * (cli/ may, for the terminal and options).
 *
 * Paths are UTF-8. Files are opened relative to a directory handle, so that a directory renamed or
 * replaced in mid-run cannot redirect LoRT. All handles are opaque; close accepts NULL. Messages
 * name path and offset. */
#ifndef LORT_LOADER_OS_OS_H
#define LORT_LOADER_OS_OS_H

#include "formats/base/error.h"
#include <stdbool.h>
#include <stdint.h>

/* ---- directories and files ---- */
typedef struct lort_dir lort_dir;
typedef struct lort_file lort_file;

typedef enum lort_file_kind {
    LORT_FILE_REGULAR,
    LORT_FILE_DIRECTORY,
    LORT_FILE_OTHER
} lort_file_kind;
typedef struct lort_file_info {
    lort_file_kind kind;
    uint64_t size;
    uint64_t device, inode; /* identity: two names of one file agree */
    int64_t mtime_ns;
    uint32_t mode; /* permission bits, to give outputs no more than inputs had */
} lort_file_info;

/* Information on a path, following symlinks; LORT_E_INPUT or LORT_E_READ with the OS's reason.
 * *exists false (and LORT_OK) if there is nothing. */
lort_code lort_os_stat(const char *path, lort_file_info *info, bool *exists, lort_error *err);
lort_code lort_os_dir_open(const char *path, lort_dir **out, lort_error *err);
const char *lort_os_dir_path(const lort_dir *dir); /* as it was opened, for messages */
/* Calls each() with the plain names in bytewise sorted order ("." and ".." left out). Stops at the
 * first failure. */
lort_code lort_os_dir_list(lort_dir *dir,
                           lort_code (*each)(void *ctx, const char *name, lort_error *err),
                           void *ctx, lort_error *err);
void lort_os_dir_close(lort_dir *dir);
/* "a/b/c" -> directory "a/b" (or ".") and name "c". name points into path. LORT_E_USAGE where no
 * name ends the path ("a/", ".."). */
lort_code lort_os_dir_of(const char *path, lort_dir **dir, const char **name, lort_error *err);

/* Opens an existing regular file for reading, through symlinks (never blocks on a FIFO or device:
 * those are LORT_E_INPUT). */
lort_code lort_os_open(lort_dir *dir, const char *name, lort_file **out, lort_error *err);
/* The same for a file that was seen before: LORT_E_READ if it is gone, or is not what `was` says by
 * identity, size and time. */
lort_code lort_os_open_again(lort_dir *dir, const char *name, const lort_file_info *was,
                             lort_file **out, lort_error *err);
/* Creates a file for reading and writing with permission bits `mode` at most; it must not exist
 * (LORT_E_EXISTS) unless `existing_ok`. A symlink is never followed. */
lort_code lort_os_create(lort_dir *dir, const char *name, uint32_t mode, bool existing_ok,
                         lort_file **out, lort_error *err);
/* *same: `name` leads to this very file; false where there is nothing. LORT_E_WRITE. Takes no
 * memory and no descriptor. */
lort_code lort_os_leads_to(lort_dir *dir, const char *name, const lort_file *file, bool *same,
                           lort_error *err);
/* LORT_E_EXISTS if there */
lort_code lort_os_make_dir(lort_dir *dir, const char *name, uint32_t mode, lort_error *err);
lort_code lort_os_info(lort_file *file, lort_file_info *info, lort_error *err);
/* Reads exactly n bytes; EINTR and short reads are looped; end of file is LORT_E_READ "file
 * shrank". */
lort_code lort_os_read(lort_file *file, void *buffer, uint64_t n, uint64_t offset, lort_error *err);
/* LORT_E_WRITE */
lort_code lort_os_write(lort_file *file, const void *buffer, uint64_t n, uint64_t offset,
                        lort_error *err);
lort_code lort_os_truncate(lort_file *file, uint64_t size, lort_error *err);
lort_code lort_os_sync(lort_file *file, lort_error *err); /* data and size are on the disk */
/* Starts write-back of [offset, offset + n), waits for the range of the call before and drops that
 * from the cache: at most two ranges are dirty. Advice only; one thread per file. */
void lort_os_flush_behind(lort_file *file, uint64_t offset, uint64_t n);
/* Exclusive advisory lock without waiting; LORT_E_EXISTS if somebody holds it. Released on close.
 */
lort_code lort_os_lock(lort_file *file, lort_error *err);
/* process of this host that holds the lock; 0: not known */
uint64_t lort_os_lock_holder(const lort_file *file);
/* LORT_E_WRITE if close reports a lost write; accepts NULL */
lort_code lort_os_close(lort_file *file, lort_error *err);
/* LORT_E_EXISTS if `to` exists and may not be replaced; a directory is never replaced by a file. */
lort_code lort_os_rename(lort_dir *dir, const char *from, const char *to, bool replace,
                         lort_error *err);
lort_code lort_os_remove(lort_dir *dir, const char *name, bool is_dir, lort_error *err);
lort_code lort_os_dir_sync(lort_dir *dir, lort_error *err);
lort_code lort_os_free_space(lort_dir *dir, uint64_t *bytes, lort_error *err);
const char *lort_os_file_path(const lort_file *file); /* for messages */

/* ---- mappings ---- */
typedef struct lort_map lort_map;
typedef enum lort_advice {
    LORT_WILL_NEED,
    LORT_POPULATE,
    LORT_DONT_NEED,
    LORT_SEQUENTIAL
} lort_advice;
/* Maps a file of `size` > 0 bytes read-only. LORT_E_MEMORY if there is no address space (the caller
 * then reads with lort_os_read); where it is limited, all mappings of files together take an eighth
 * of it and leave the rest to memory. The mapping is guarded: a fault inside it (file shrank, bad
 * sector) puts a zero page there and sets a flag. The file may be closed before the mapping, unless
 * the mapping is then advised with `cache`. At most 4096 mappings at once. */
lort_code lort_os_map(lort_file *file, uint64_t size, lort_map **out, lort_error *err);
const uint8_t *lort_os_map_data(const lort_map *map);
/* true once any page faulted: results read from it are void */
bool lort_os_map_faulted(const lort_map *map);
/* Prefetch or release a byte range, cut at the mapping's end. WILL_NEED starts reading the whole of
 * it, POPULATE waits until it is there. Releasing keeps pages the range covers in part. It drops
 * the pages from our RSS; `cache` also from the page cache (madvise first, fadvise second). */
void lort_os_map_advise(lort_map *map, uint64_t offset, uint64_t n, lort_advice advice, bool cache);
void lort_os_unmap(lort_map *map);

/* ---- anonymous memory ---- */
void *lort_os_pages(uint64_t bytes); /* zeroed, page-aligned, NULL if refused */
void lort_os_pages_free(void *memory, uint64_t bytes);
uint64_t lort_os_page_size(void);
/* True if `bytes` of address space can be had now (taken and given back at once). */
bool lort_os_address_space(uint64_t bytes);

/* ---- threads ---- */
typedef struct lort_thread lort_thread;
typedef struct lort_mutex lort_mutex;
typedef struct lort_cond lort_cond;
/* stack_bytes is raised to what the system and the libraries' thread-local data need. Where address
 * space is limited, all threads share one heap. */
lort_code lort_os_thread_start(void (*run)(void *ctx), void *ctx, uint64_t stack_bytes,
                               lort_thread **out, lort_error *err);
void lort_os_thread_join(lort_thread *thread); /* waits and frees */
lort_code lort_os_mutex_open(lort_mutex **out, lort_error *err);
void lort_os_lock_mutex(lort_mutex *mutex);
void lort_os_unlock_mutex(lort_mutex *mutex);
void lort_os_mutex_close(lort_mutex *mutex);
lort_code lort_os_cond_open(lort_cond **out, lort_error *err);
void lort_os_wait(lort_cond *cond, lort_mutex *mutex);
void lort_os_wake_all(lort_cond *cond);
void lort_os_cond_close(lort_cond *cond);

/* ---- the machine and this process ---- */
uint64_t lort_os_clock_ns(void); /* monotonic */
typedef struct lort_process_memory {
    uint64_t anon_bytes, file_bytes, rss_bytes; /* now: RssAnon + RssShmem, RssFile, VmRSS */
    uint64_t peak_rss_bytes;                    /* VmHWM, never ru_maxrss (inherited across exec) */
    uint64_t virtual_bytes, data_bytes;         /* VmSize, VmData */
    /* 0 = unknown: v2 memory.peak or v1 max_usage_in_bytes of this group */
    uint64_t cgroup_peak_bytes;
    uint64_t stall_us; /* PSI memory "full" total, 0 = unknown */
} lort_process_memory;
void lort_os_process_memory(lort_process_memory *out); /* unknown figures are 0 */
typedef struct lort_limits {
    uint64_t address_space, data; /* RLIMIT_AS, RLIMIT_DATA; UINT64_MAX = none */
} lort_limits;
void lort_os_limits(lort_limits *out);
/* Reads a small text file such as /proc/meminfo whole (NUL-terminated, at most cap-1 bytes); false
 * if it cannot. */
bool lort_os_read_text(const char *path, char *out, uint64_t cap);
/* CPUs this process may use: affinity count (0 = unknown), and the quota of cgroup v1/v2 rounded up
 * (0 = none). `root` "" = the real machine. */
void lort_os_cpus(const char *root, unsigned *affinity, unsigned *quota);

#endif
