/* os: the room owns everything that LoRT asks of an operating system; it must not know a format or
 * a tensor.
 *
 * Sub-folders implement this header: posix and linux together for Linux. Another POSIX system can
 * share the folder posix. No other file includes an OS, thread or signal header. Only compress/cli
 * may, for the terminal and the options.
 *
 * Paths are UTF-8. LoRT opens files relative to a directory handle. So LoRT keeps to its directory
 * even if somebody renames or replaces that directory during the run. All handles are opaque, and
 * close accepts NULL. Messages name the path and the offset. */
#ifndef LORT_LOADER_OS_OS_H
#define LORT_LOADER_OS_OS_H

#include "formats/base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- directories and files ---- */
typedef struct lort_dir lort_dir;
typedef struct lort_file lort_file;

typedef enum lort_file_kind {
    LORT_FILE_REGULAR,
    LORT_FILE_DIRECTORY,
    LORT_FILE_LINK, /* a symbolic link; only lort_os_look sees one */
    LORT_FILE_OTHER
} lort_file_kind;
typedef struct lort_file_info {
    lort_file_kind kind;
    const char *kind_text; /* "a regular file", "a FIFO", ... */
    uint64_t size;
    uint64_t device, inode; /* identity: equal for two names of one file */
    int64_t mtime_ns;
    /* last change of contents, names or permissions; no program can set it back */
    int64_t ctime_ns;
    int64_t birth_ns; /* from lort_os_look and lort_os_info; 0: unknown */
    uint64_t links;   /* names of the file */
    uint64_t owner;   /* user */
    uint32_t mode;    /* permission bits; outputs get no more of them than the inputs have */
} lort_file_info;

/* True for a character that separates the names of a path: '/', and '\\' too on Windows. */
bool lort_os_is_separator(char c);
/* The last name of a path, which points into it; "" where the path ends in a separator. */
const char *lort_os_base_name(const char *path);
/* Compares two names as the file systems of this system usually do: 0 if they lead to one file
 * there, else an order. Windows takes upper and lower case for one; Linux compares bytes. Takes no
 * memory. a, b: plain names (formats/base/plain_name.h). */
int lort_os_compare_names(const char *a, uint64_t a_bytes, const char *b, uint64_t b_bytes);

/* Fills info for a path; follows symlinks. Where there is nothing, sets *exists to false and
 * returns LORT_OK. On failure: LORT_E_INPUT or LORT_E_READ, with the OS's reason. */
lort_code lort_os_stat(const char *path, lort_file_info *info, bool *exists, lort_error *err);
/* Writes the path without links, "." and ".." into out, with '/' between names. Two paths of one
 * file or directory give one text. On failure, also for a text that does not fit: the codes of
 * lort_os_stat; out is "". */
lort_code lort_os_real_path(const char *path, char *out, uint64_t cap, lort_error *err);
/* Opens a directory; the caller closes *out. On failure: the codes of lort_os_stat. */
lort_code lort_os_dir_open(const char *path, lort_dir **out, lort_error *err);
/* Opens the directory `name` in dir; the caller closes *out. Never follows a symlink. On failure:
 * LORT_E_WRITE. */
lort_code lort_os_dir_enter(lort_dir *dir, const char *name, lort_dir **out, lort_error *err);
/* The same for a directory that is only read. On failure: the codes of lort_os_stat. */
lort_code lort_os_dir_down(lort_dir *dir, const char *name, lort_dir **out, lort_error *err);
const char *lort_os_dir_path(const lort_dir *dir); /* the path given to open, for messages */
/* Calls each() with every plain name, in bytewise sorted order, without "." and "..". Stops at the
 * first failure and returns its code. */
lort_code lort_os_dir_list(lort_dir *dir,
                           lort_code (*each)(void *ctx, const char *name, lort_error *err),
                           void *ctx, lort_error *err);
void lort_os_dir_close(lort_dir *dir);
/* Splits a path: "a/b/c" gives directory "a/b" and name "c"; "c" gives directory ".". *name points
 * into path. The caller closes *dir. On failure: LORT_E_USAGE where no name ends the path ("a/",
 * ".."). */
lort_code lort_os_dir_of(const char *path, lort_dir **dir, const char **name, lort_error *err);

/* Opens an existing regular file for reading; follows symlinks. Never blocks on a FIFO or a device:
 * these are LORT_E_INPUT. */
lort_code lort_os_open(lort_dir *dir, const char *name, lort_file **out, lort_error *err);
/* Opens a file that LoRT saw before, described by `was`. On failure: LORT_E_READ if the file is
 * gone, or if its identity, size or time differs. */
lort_code lort_os_open_again(lort_dir *dir, const char *name, const lort_file_info *was,
                             lort_file **out, lort_error *err);
/* Creates a new file for reading and writing, with at most the permission bits `mode`. Never
 * follows a symlink. On failure: LORT_E_EXISTS if something has that name, else LORT_E_WRITE. */
lort_code lort_os_create(lort_dir *dir, const char *name, uint32_t mode, lort_file **out,
                         lort_error *err);
/* Opens an existing regular file for reading and writing, and changes nothing. Never follows a
 * symlink. *out is NULL where there is nothing. On failure: LORT_E_EXISTS if it is not a regular
 * file, else LORT_E_WRITE. */
lort_code lort_os_open_found(lort_dir *dir, const char *name, lort_file **out, lort_error *err);
/* Takes away the permission bits that are not in `mode`. On failure: LORT_E_WRITE. */
lort_code lort_os_restrict(lort_file *file, uint32_t mode, lort_error *err);
/* Describes what has this name; follows no symlink. Where there is nothing, sets *exists to false
 * and returns LORT_OK. Takes no memory and no descriptor. On failure: LORT_E_WRITE. */
lort_code lort_os_look(lort_dir *dir, const char *name, lort_file_info *info, bool *exists,
                       lort_error *err);
/* Describes what this name leads to; follows symlinks. Where there is nothing, also behind a link,
 * sets *exists to false and returns LORT_OK. On failure: LORT_E_READ. */
lort_code lort_os_follow(lort_dir *dir, const char *name, lort_file_info *info, bool *exists,
                         lort_error *err);
/* True if `name` is a symbolic link that leads to nothing. *err then says where the link leads, and
 * names it by `shown`. */
bool lort_os_dangles(lort_dir *dir, const char *name, const char *shown, lort_error *err);
/* Writes where the symbolic link `name` leads into out, escaped; "" if that is unknown. */
void lort_os_link_text(lort_dir *dir, const char *name, char *out, uint64_t cap);
/* True if `owner` is the owner of files that this process makes in dir. */
bool lort_os_is_own_user(lort_dir *dir, uint64_t owner);
/* Sets *same to true if `name` leads to this very file, and to false where there is nothing. Takes
 * no memory and no descriptor. On failure: LORT_E_WRITE. */
lort_code lort_os_leads_to(lort_dir *dir, const char *name, const lort_file *file, bool *same,
                           lort_error *err);
/* The same for a directory. */
lort_code lort_os_leads_to_dir(lort_dir *dir, const char *name, const lort_dir *held, bool *same,
                               lort_error *err);
/* On failure: LORT_E_EXISTS if something has that name, else LORT_E_WRITE. */
lort_code lort_os_make_dir(lort_dir *dir, const char *name, uint32_t mode, lort_error *err);
lort_code lort_os_info(lort_file *file, lort_file_info *info, lort_error *err);
/* Reads exactly n bytes. Repeats the call after EINTR and after a short read. On failure:
 * LORT_E_READ; the message says "file shrank" at the end of the file. */
lort_code lort_os_read(lort_file *file, void *buffer, uint64_t n, uint64_t offset, lort_error *err);
/* Writes exactly n bytes, in the same way. On failure: LORT_E_WRITE. */
lort_code lort_os_write(lort_file *file, const void *buffer, uint64_t n, uint64_t offset,
                        lort_error *err);
lort_code lort_os_truncate(lort_file *file, uint64_t size, lort_error *err);
lort_code lort_os_sync(lort_file *file, lort_error *err); /* then data and size are on the disk */
/* Starts write-back of [offset, offset + n). Then waits for the range of the call before and drops
 * that range from the page cache. So at most two ranges are dirty. Advice only: it cannot fail.
 * Threads: one per file. */
void lort_os_flush_behind(lort_file *file, uint64_t offset, uint64_t n);
/* Takes an exclusive advisory lock without waiting; close releases the lock. It is a lock of the
 * open file description (fcntl), so shared disks see it too. *locked is false, with LORT_OK, where
 * the disk or the system has no such locks. On failure: LORT_E_EXISTS if somebody holds the
 * lock. */
lort_code lort_os_lock(lort_file *file, bool *locked, lort_error *err);
/* Process of this host that holds the lock; 0: unknown, as for processes of other users. */
uint64_t lort_os_lock_holder(const lort_file *file);
/* Closes; accepts NULL. On failure: LORT_E_WRITE if close reports a lost write. */
lort_code lort_os_close(lort_file *file, lort_error *err);
/* On failure: LORT_E_EXISTS if `to` exists and `replace` is false. A file never replaces a
 * directory. */
lort_code lort_os_rename(lort_dir *dir, const char *from, const char *to, bool replace,
                         lort_error *err);
lort_code lort_os_remove(lort_dir *dir, const char *name, bool is_dir, lort_error *err);
lort_code lort_os_dir_sync(lort_dir *dir, lort_error *err);
lort_code lort_os_free_space(lort_dir *dir, uint64_t *bytes, lort_error *err);
const char *lort_os_file_path(const lort_file *file); /* for messages */

/* ---- streams: FIFOs, character devices, open descriptors ---- */
typedef struct lort_stream lort_stream;
typedef enum lort_name_kind {
    LORT_NAME_FREE,         /* nothing, or nothing that can be seen: opening it tells */
    LORT_NAME_FILE,         /* a regular file with one link */
    LORT_NAME_LINKED,       /* a regular file with several links */
    LORT_NAME_LINK,         /* a symbolic link to a file, to a directory or to nothing */
    LORT_NAME_DIRECTORY,    /* a directory */
    LORT_NAME_BLOCK_DEVICE, /* a block device, also behind a symbolic link */
    /* a FIFO, a socket or a character device, also behind a symbolic link; a name of an open
     * descriptor of this process, such as /dev/stdout, whatever it leads to */
    LORT_NAME_STREAM
} lort_name_kind;
lort_name_kind lort_os_name_kind(const char *path);
/* Opens a stream for writing, without waiting. A descriptor is duplicated: its position and its
 * contents stay. On failure: LORT_E_WRITE if no process reads the FIFO, and in all other cases; the
 * message says what to do. LORT_E_MEMORY. */
lort_code lort_os_stream_open(const char *path, lort_stream **out, lort_error *err);
/* The same for standard output, which is not looked at: a closed one fails at the first write. */
lort_code lort_os_stream_stdout(lort_stream **out, lort_error *err);
/* Writes n bytes. Waits for a reader. Once stop(ctx) is true (NULL: never), it waits one second at
 * most. On failure: LORT_E_WRITE, also if the reader went away; LORT_E_STOPPED. */
lort_code lort_os_stream_write(lort_stream *stream, const void *bytes, uint64_t n,
                               bool (*stop)(void *ctx), void *ctx, lort_error *err);
/* Closes; accepts NULL. On failure: LORT_E_WRITE if close reports a lost write. */
lort_code lort_os_stream_close(lort_stream *stream, lort_error *err);

/* ---- mappings ---- */
typedef struct lort_map lort_map;
typedef enum lort_advice {
    LORT_WILL_NEED,
    LORT_POPULATE,
    LORT_DONT_NEED,
    LORT_SEQUENTIAL,
    LORT_RANDOM, /* reads go here and there: the system reads nothing ahead */
    LORT_NORMAL  /* neither: as a mapping begins */
} lort_advice;
/* Maps a file of `size` > 0 bytes read-only. At most 4096 mappings exist at once.
 *
 * The mapping is guarded. If a read inside it faults (the file shrank, bad sector), LoRT puts a
 * zero page there and sets a flag. The caller may close the file before the mapping, unless it
 * advises the mapping with `cache` later.
 *
 * On failure: LORT_E_MEMORY if there is no address space; the caller then reads with lort_os_read.
 * Where address space is limited, all mappings of files together take at most an eighth of it. So
 * the rest stays for memory. */
lort_code lort_os_map(lort_file *file, uint64_t size, lort_map **out, lort_error *err);
const uint8_t *lort_os_map_data(const lort_map *map);
/* true once any page faulted; results read from the mapping are then void */
bool lort_os_map_faulted(const lort_map *map);
/* Prefetches or releases a byte range, cut at the end of the mapping. WILL_NEED starts to read the
 * whole range; POPULATE waits until the range is in memory. DONT_NEED drops the pages from the RSS
 * of LoRT, except pages that the range covers in part. With `cache` it also drops them from the
 * page cache (madvise first, posix_fadvise second). */
void lort_os_map_advise(lort_map *map, uint64_t offset, uint64_t n, lort_advice advice, bool cache);
void lort_os_unmap(lort_map *map);

/* ---- anonymous memory ---- */
void *lort_os_pages(uint64_t bytes); /* zeroed, page-aligned; NULL if refused */
void lort_os_pages_free(void *memory, uint64_t bytes);
uint64_t lort_os_page_size(void);
/* Takes `bytes` > 0 from the heap, aligned to 64 bytes; NULL if refused. Only lort_os_aligned_free
 * takes them back. */
void *lort_os_aligned(size_t bytes);
void lort_os_aligned_free(void *memory); /* accepts NULL */
/* True if `bytes` of address space are free now. Takes them and gives them back at once. */
bool lort_os_address_space(uint64_t bytes);

/* ---- threads ---- */
typedef struct lort_thread lort_thread;
typedef struct lort_mutex lort_mutex;
typedef struct lort_cond lort_cond;
/* Starts a thread that calls run(ctx). Raises stack_bytes to what the system and the thread-local
 * data of the libraries need. Where address space is limited, all threads share one heap. */
lort_code lort_os_thread_start(void (*run)(void *ctx), void *ctx, uint64_t stack_bytes,
                               lort_thread **out, lort_error *err);
void lort_os_thread_join(lort_thread *thread); /* waits for the end, then frees */
lort_code lort_os_mutex_open(lort_mutex **out, lort_error *err);
void lort_os_lock_mutex(lort_mutex *mutex);
void lort_os_unlock_mutex(lort_mutex *mutex);
void lort_os_mutex_close(lort_mutex *mutex);
lort_code lort_os_cond_open(lort_cond **out, lort_error *err);
void lort_os_wait(lort_cond *cond, lort_mutex *mutex);
/* The same for at most `ms` milliseconds. It may return earlier, without a reason. */
void lort_os_wait_ms(lort_cond *cond, lort_mutex *mutex, uint32_t ms);
void lort_os_wake_all(lort_cond *cond);
void lort_os_cond_close(lort_cond *cond);

/* ---- libraries that are loaded when they are needed ---- */
/* Loads the first of the named libraries that is there, and keeps it until the process ends. NULL:
 * none is there. names: ends with NULL. */
void *lort_os_library(const char *const *names);
/* Puts the address of a function into *function, a pointer to a function. False: the library has
 * no such function, and *function is NULL. */
bool lort_os_library_find(void *library, const char *name, void *function);

/* The floating-point environment of a thread: rounding mode, traps, exception flags, and whether
 * tiny numbers count as zero. A new thread starts with that of the thread that started it. */
typedef struct lort_float_env {
    uint64_t words[8];
} lort_float_env;
/* Saves the environment of this thread, and gives it the default one: round to nearest, no traps,
 * no flags, tiny numbers kept. */
void lort_os_float_enter(lort_float_env *saved);
/* Gives a saved environment back to this thread. Raises nothing. */
void lort_os_float_leave(const lort_float_env *saved);

/* ---- the machine and this process ---- */
uint64_t lort_os_clock_ns(void); /* monotonic, in nanoseconds */
int64_t lort_os_time_ns(void);   /* the time of day, in nanoseconds since 1970, as file times are */
int64_t lort_os_process_id(void);
/* Writes the value of a variable of the environment into out, as UTF-8. Returns false, and out is
 * "", for one that is not set, is empty, or does not fit. */
bool lort_os_variable(const char *name, char *out, uint64_t cap);
/* The directory of the user's own files: HOME; on Windows else USERPROFILE. As above. */
bool lort_os_home(char *out, uint64_t cap);
/* Names this process among all of all hosts. A text that the system does not tell is "". */
typedef struct lort_process_name {
    char host[256];
    char boot[64];      /* one for each start of the system; "any" on Windows */
    char space[64];     /* the namespace of process numbers; "any" on Windows */
    uint64_t id, start; /* start: 0: unknown */
} lort_process_name;
void lort_os_process_name(lort_process_name *out);
typedef enum lort_process_state {
    LORT_PROCESS_UNKNOWN,
    LORT_PROCESS_LIVES,
    LORT_PROCESS_DEAD
} lort_process_state;
/* What became of a process of this host, boot and space. */
lort_process_state lort_os_process_state(uint64_t id, uint64_t start);
typedef struct lort_process_memory {
    uint64_t anon_bytes, file_bytes, rss_bytes; /* now: RssAnon + RssShmem, RssFile, VmRSS */
    uint64_t peak_rss_bytes;                    /* VmHWM; not ru_maxrss, which survives exec */
    uint64_t virtual_bytes, data_bytes;         /* VmSize, VmData */
    /* peak of this group: memory.peak (v2) or max_usage_in_bytes (v1); 0 if unknown */
    uint64_t cgroup_peak_bytes;
    uint64_t stall_us; /* PSI memory "full" total in microseconds; 0 if unknown */
} lort_process_memory;
void lort_os_process_memory(lort_process_memory *out); /* unknown figures are 0 */
typedef struct lort_limits {
    uint64_t address_space, data; /* RLIMIT_AS, RLIMIT_DATA; UINT64_MAX = no limit */
} lort_limits;
void lort_os_limits(lort_limits *out);

#define LORT_MEMORY_SOURCES 12
#define LORT_UNKNOWN_MEMORY (UINT64_C(1) << 30) /* bytes of the source "unknown" */
typedef struct lort_memory_source {
    /* Linux: "MemAvailable", "CommitLimit", "cgroup v2", "cgroup v1", "RLIMIT_AS", "RLIMIT_DATA".
     * Windows: "AvailPhys", "CommitLimit", "job", "job process". All: "Slurm", "--memory" or
     * "unknown" */
    char name[40];
    /* the file, call or option of the limit, such as /sys/fs/cgroup/a/b/memory.max; the end of a
     * long path */
    char where[200];
    uint64_t bytes; /* what it leaves for LoRT now */
} lort_memory_source;
typedef struct lort_memory_sources {
    lort_memory_source at[LORT_MEMORY_SOURCES]; /* only those that apply */
    unsigned count;
    uint64_t physical; /* memory of the machine in bytes; 0: unknown */
} lort_memory_sources;
/* Lists every limit of memory that the operating system sets for this process: at least one, which
 * may be "unknown". Linux: root is "" for the real /proc and /sys, or a directory that holds
 * recorded ones (tests). Windows has no such files and does not look at root. */
void lort_os_memory_sources(const char *root, lort_memory_sources *out);
/* Reads a small text file such as /proc/meminfo: at most cap - 1 bytes, NUL-terminated. Returns
 * false if it cannot. */
bool lort_os_read_text(const char *path, char *out, uint64_t cap);
/* Counts the CPUs that this process may use. *affinity: CPUs of its mask (0 = unknown). *quota: CPU
 * quota of cgroup v1 or v2, rounded up (0 = none). root: "" for the real machine. */
void lort_os_cpus(const char *root, unsigned *affinity, unsigned *quota);

#endif
