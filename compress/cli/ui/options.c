/* options: the tables of options. See options.h; parse.c goes through a command line, and has one
 * setter per kind of value. */
#include "compress/cli/ui/options.h"
#include <float.h>

/* ---- the tables ---- */

#define AT(member)                                                                                 \
    .at = offsetof(lort_cli_values, member), .size = sizeof(((lort_cli_values *)0)->member)
#define LISTS(member) AT(job.member), .count = offsetof(lort_cli_values, job.member##_count)

#define BELOW_1 (1.0 - DBL_EPSILON / 2) /* the largest double below 1 */
#define MOST_RANK 1000000
/* 2^53: JSON readers hold whole numbers as doubles, which are exact up to here. */
#define MOST_SEED 9007199254740992.0

static const char *const modes[] = {"auto", "full", "stream", NULL}; /* order of lort_mode */
/* order of lort_residual */
static const char *const residuals[] = {"auto", "none", "int", "ternary", NULL};
static const char *const side_files[] = {"usual", "all", NULL}; /* order of lort_side_files */
/* order of lort_lines_kind */
static const char *const progresses[] = {"auto", "plain", "json", "none", NULL};
/* those of compress/math/cores.c */
static const char *const blas_cores[] = {"portable",   "native",      "Prescott",       "Core2",
                                         "Nehalem",    "Sandybridge", "Haswell",        "Zen",
                                         "SkylakeX",   "Cooperlake",  "SapphireRapids", "Bulldozer",
                                         "Piledriver", "Steamroller", "Excavator",      NULL};
static const char *const dtypes[] = {"F32", "F16", "BF16", NULL};

#define FORCE                                                                                      \
    {                                                                                              \
        "force", 0, LORT_CLI_FLAG, AT(force), .help = "replace an existing output file"            \
    }
/* The rows that every command has. */
#define COMMON                                                                                     \
    {"json",                                                                                       \
     0,                                                                                            \
     LORT_CLI_PATH,                                                                                \
     AT(json),                                                                                     \
     .argument = "FILE",                                                                           \
     .help = "write the report as JSON, after a failure too; - is standard output"},               \
        {"progress",                                                                               \
         0,                                                                                        \
         LORT_CLI_CHOICE,                                                                          \
         AT(progress),                                                                             \
         .choices = progresses,                                                                    \
         .argument = "auto|plain|json|none",                                                       \
         .help = "how to tell of the progress; json: one object a line, on stderr"},               \
        {"quiet", 'q', LORT_CLI_FLAG, AT(quiet), .help = "print warnings and errors only"},        \
        {"verbose", 'v', LORT_CLI_FLAG, AT(verbose), .help = "print more about each tensor"},      \
    {                                                                                              \
        "help", 'h', LORT_CLI_FLAG, AT(help), .help = "print this help"                            \
    }
#define OUTPUT(what)                                                                               \
    {                                                                                              \
        "output", 'o', LORT_CLI_PATH, AT(output), .argument = "PATH", .help = what                 \
    }
#define END                                                                                        \
    {                                                                                              \
        .name = NULL                                                                               \
    }
#define MEMORY(member)                                                                             \
    {                                                                                              \
        "memory", 0, LORT_CLI_BYTES, AT(member),                                                   \
            .low = 1048576.0, .high = 4611686018427387904.0,                                       \
            .allowed = "a size from 1M to 4194304T, such as 256M or 1.5G", .argument = "SIZE",     \
            .help = "memory that LoRT may use (default 80 % of the available memory)"              \
    }
#define THREADS(member)                                                                            \
    {                                                                                              \
        "threads", 'T', LORT_CLI_WHOLE, AT(member),                                                \
            .low = 1, .high = 1024, .allowed = "a whole number from 1 to 1024", .argument = "N",   \
            .help = "worker threads (default: the cores that this process may use)"                \
    }
#define WEIGHTS(member)                                                                            \
    {                                                                                              \
        "weights", 0, LORT_CLI_PATH, AT(member.weights),                                           \
            .argument = "NAME",                                                                    \
            .help = "of several forms of the weights in a directory, the one to take"              \
    }
#define SIDE_FILES(member)                                                                         \
    {                                                                                              \
        "side-files", 0, LORT_CLI_CHOICE, AT(member.side_files),                                   \
            .choices = side_files, .argument = "usual|all",                                        \
            .help = "all: also copies of the weights, hidden and large files of a directory"       \
    }
#define BASE(member, what)                                                                         \
    {                                                                                              \
        "base", 0, LORT_CLI_PATH, AT(member), .argument = "MODEL", .help = what                    \
    }
#define OFFLINE(member)                                                                            \
    {                                                                                              \
        "offline", 0, LORT_CLI_FLAG, AT(member),                                                   \
            .help = "find models by name on this machine only; touch no network"                   \
    }
#define SPOOL(member)                                                                              \
    {                                                                                              \
        "spool", 0, LORT_CLI_TEXT, AT(member.spool),                                               \
            .argument = "DIR",                                                                     \
            .help = "a model on the network passes through DIR (default $TMPDIR, else beside OUT)" \
    }
#define SPOOL_KEEP                                                                                 \
    {                                                                                              \
        "spool-keep", 0, LORT_CLI_FLAG, AT(job.spool_keep),                                        \
            .help = "keep all that was fetched in DIR until the end: a second reading is free"     \
    }
#define BLAS_CORE                                                                                  \
    {                                                                                              \
        "blas-core", 0, LORT_CLI_NAME, AT(job.blas_core),                                          \
            .choices = blas_cores, .argument = "portable|native|NAME",                             \
            .help = "kernels of OpenBLAS; portable: the same bytes on all x86-64 with AVX2"        \
    }
#define FAIL_ABOVE(member, what)                                                                   \
    {                                                                                              \
        "fail-above", 0, LORT_CLI_REAL, AT(member),                                                \
            .low = 0, .high = DBL_MAX, .allowed = "a number, 0 or more", .argument = "F",          \
            .help = what                                                                           \
    }

/* Rows that compress and plan share: both make the same decisions. */
#define JOB                                                                                        \
    {"rank",                                                                                       \
     0,                                                                                            \
     LORT_CLI_WHOLE,                                                                               \
     LORT_GOAL_RANK,                                                                               \
     AT(job.rank),                                                                                 \
     .low = 0,                                                                                     \
     .high = MOST_RANK,                                                                            \
     .allowed = "a whole number from 0 to 1000000",                                                \
     .argument = "N",                                                                              \
     .help = "target: factors of rank N; 0 with --residual ternary: no factors"},                  \
        {"energy",                                                                                 \
         0,                                                                                        \
         LORT_CLI_REAL,                                                                            \
         LORT_GOAL_ENERGY,                                                                         \
         AT(job.value),                                                                            \
         .low = DBL_TRUE_MIN,                                                                      \
         .high = 1,                                                                                \
         .allowed = "a number above 0, at most 1",                                                 \
         .argument = "F",                                                                          \
         .help = "target: lowest rank that keeps the share F of each squared norm"},               \
        {"max-error",     0,                                                                       \
         LORT_CLI_REAL,   LORT_GOAL_ERROR,                                                         \
         AT(job.value),   .low = 0,                                                                \
         .high = BELOW_1, .allowed = "a number from 0, below 1",                                   \
         .argument = "F", .help = "target: relative error per matrix, at most F (default 0.05)"},  \
        {"bpw",           0,                                                                       \
         LORT_CLI_REAL,   LORT_GOAL_BPW,                                                           \
         AT(job.value),   .low = 0.01,                                                             \
         .high = 64,      .allowed = "a number from 0.01 to 64",                                   \
         .argument = "B", .help = "target: B bits per weight, over all tensors and records"},      \
        {"size",                                                                                   \
         0,                                                                                        \
         LORT_CLI_SIZE,                                                                            \
         LORT_GOAL_SIZE,                                                                           \
         AT(job.size_bytes),                                                                       \
         .count = offsetof(lort_cli_values, job.value),                                            \
         .low = 1,                                                                                 \
         .high = 4611686018427387904.0,                                                            \
         .allowed = "a size such as 500M, or a share of the input such as 30%",                    \
         .argument = "BYTES|P%",                                                                   \
         .help = "target: size of the output file; the file is never larger"},                     \
        {"lossless", 0, LORT_CLI_GOAL, LORT_GOAL_LOSSLESS,                                         \
         .help = "target: store every tensor losslessly"},                                         \
        {"max-rank",                                                                               \
         0,                                                                                        \
         LORT_CLI_WHOLE,                                                                           \
         AT(job.max_rank),                                                                         \
         .low = 0,                                                                                 \
         .high = MOST_RANK,                                                                        \
         .allowed = "a whole number from 0 to 1000000",                                            \
         .argument = "N",                                                                          \
         .help = "highest rank to try (default 256); 0: no factors beside integers"},              \
        {"residual",                                                                               \
         0,                                                                                        \
         LORT_CLI_CHOICE,                                                                          \
         AT(job.residual),                                                                         \
         .choices = residuals,                                                                     \
         .argument = "auto|none|int|ternary",                                                      \
         .help = "how to store the part that low-rank factors do not capture"},                    \
        {"imatrix",          0,                                                                    \
         LORT_CLI_PATH,      AT(job.imatrix),                                                      \
         .argument = "FILE", .help = "importance matrix of llama.cpp; LoRT weighs errors by it"},  \
        {"covariance",       0,                                                                    \
         LORT_CLI_PATH,      AT(job.covariance),                                                   \
         .argument = "FILE", .help = "covariances of inputs; LoRT rounds by them"},                \
        {"min-dim",                                                                                \
         0,                                                                                        \
         LORT_CLI_WHOLE,                                                                           \
         AT(job.min_dim),                                                                          \
         .low = 1,                                                                                 \
         .high = 1e9,                                                                              \
         .allowed = "a whole number from 1 to 1000000000",                                         \
         .argument = "N",                                                                          \
         .help = "keep matrices with a side under N (default 32)"},                                \
        {"include",                                                                                \
         0,                                                                                        \
         LORT_CLI_LIST,                                                                            \
         LISTS(include),                                                                           \
         .argument = "GLOB",                                                                       \
         .help = "also try tensors of these names that are kept by default; repeatable"},          \
        {"exclude",                                                                                \
         0,                                                                                        \
         LORT_CLI_LIST,                                                                            \
         LISTS(exclude),                                                                           \
         .argument = "GLOB",                                                                       \
         .help = "keep tensors of these names; wins over --include; repeatable"},                  \
        FAIL_ABOVE(job.fail_above,                                                                 \
                   "publish nothing and exit 7 if the error of a tensor is above F"),              \
        {"mode",                                                                                   \
         0,                                                                                        \
         LORT_CLI_CHOICE,                                                                          \
         AT(job.mode),                                                                             \
         .choices = modes,                                                                         \
         .argument = "auto|full|stream",                                                           \
         .help = "hold the model in memory (full) or read it through a window (stream)"},          \
        BASE(job.base, "store the difference to this base model; restore needs it too"),           \
        WEIGHTS(job), SIDE_FILES(job), MEMORY(job.memory_bytes), THREADS(job.threads), BLAS_CORE,  \
        {"seed",                                                                                   \
         0,                                                                                        \
         LORT_CLI_WHOLE,                                                                           \
         AT(job.seed),                                                                             \
         .low = 0,                                                                                 \
         .high = MOST_SEED,                                                                        \
         .allowed = "a whole number from 0 to 9007199254740992",                                   \
         .argument = "N",                                                                          \
         .help = "seed of the random sketches (default 0)"},                                       \
    {                                                                                              \
        "zstd-level", 0, LORT_CLI_WHOLE, AT(job.zstd_level),                                       \
            .low = 1, .high = 19, .allowed = "a whole number from 1 to 19", .argument = "N",       \
            .help = "effort of the lossless coder (default 1)"                                     \
    }

#define TASKS(member, what)                                                                        \
    {                                                                                              \
        "tasks", 0, LORT_CLI_WHOLE, AT(member), .low = 1, .high = LORT_TASKS_MOST,                 \
                                                .allowed = "a whole number from 1 to 65536",       \
                                                .argument = "N", .help = what                      \
    }
#define TASK                                                                                       \
    {"task",                                                                                       \
     0,                                                                                            \
     LORT_CLI_TEXT,                                                                                \
     AT(task),                                                                                     \
     .argument = "I/N|auto",                                                                       \
     .help = "code run I of N, from 0, into OUT.task-I-of-N; auto: as the scheduler says"},        \
        TASKS(job.tasks, "with --task auto: how many tasks there are"),                            \
        {"measure", 0, LORT_CLI_FLAG, AT(job.measure),                                             \
         .help = "with --task, --size or --bpw: the first reading, into OUT.curves-I-of-N"},       \
    {                                                                                              \
        "reserve", 0, LORT_CLI_BYTES, AT(job.reserve),                                             \
            .low = 0, .high = 4294967295.0, .allowed = "a size below 4G", .argument = "BYTES",     \
            .help = "with --size or --bpw: bytes to leave unused, as lort merge says"              \
    }

#define RESUME                                                                                     \
    {                                                                                              \
        "resume", 0, LORT_CLI_FLAG, AT(job.resume),                                                \
            .help = "refuse unfinished work of other inputs or options; resuming needs no flag"    \
    }
#define TIME_LIMIT                                                                                 \
    {                                                                                              \
        "time-limit", 0, LORT_CLI_TIME, AT(job.time_limit),                                        \
            .low = 0.001, .high = 1e9, .allowed = "a time such as 90, 90s, 15m, 12h or 2d",        \
            .argument = "T", .help = "stop at a checkpoint after the time T, with exit 75"         \
    }

#define SPECTRA(member)                                                                            \
    {                                                                                              \
        "spectra", 0, LORT_CLI_FLAG, AT(member),                                                   \
            .help = "put leading singular values of matrices into the report"                      \
    }

const char *const lort_cli_launchers[] = {"all", "slurm", "kubernetes", "parallel", "mpirun", NULL};

const lort_cli_option lort_cli_common_options[] = {COMMON, END};
const lort_cli_option lort_cli_compress_options[] = {
    OUTPUT("the container to write"),
    JOB,
    TASK,
    {"force", 0, LORT_CLI_FLAG, AT(job.force), .help = "replace an existing output file"},
    RESUME,
    TIME_LIMIT,
    SPECTRA(job.spectra),
    OFFLINE(job.offline),
    SPOOL(job),
    SPOOL_KEEP,
    COMMON,
    END};
const lort_cli_option lort_cli_merge_options[] = {
    TASKS(merge.tasks, "how many tasks there are, if files of several numbers lie there"),
    {"keep", 0, LORT_CLI_FLAG, AT(merge.keep), .help = "keep the files of the tasks"},
    FAIL_ABOVE(fail_above, "publish nothing and exit 7 if an error is above F, whatever tasks say"),
    {"wait", 0, LORT_CLI_TIME, AT(merge.wait), .low = 0, .high = 86400,
     .allowed = "a time such as 0, 90s or 15m", .argument = "T",
     .help = "wait so long for files that are not there yet (default 60s)"},
    {"force", 0, LORT_CLI_FLAG, AT(merge.force), .help = "replace an existing output file"},
    MEMORY(merge.memory_bytes),
    COMMON,
    END};
const lort_cli_option lort_cli_plan_options[] = {
    JOB,
    {"sample", 0, LORT_CLI_WHOLE, AT(job.sample), .low = 0, .high = MOST_RANK,
     .allowed = "a whole number from 0 to 1000000", .argument = "N",
     .help = "run N matrices and report their size, error and time"},
    TASKS(job.tasks, "print the runs of N tasks, and the lines that submit them"),
    {"for", 0, LORT_CLI_CHOICE, AT(launcher), .choices = lort_cli_launchers,
     .argument = "all|slurm|kubernetes|parallel|mpirun",
     .help = "with --tasks: the lines for this launcher, to run as they are"},
    OFFLINE(job.offline),
    SPOOL(job),
    SPOOL_KEEP,
    COMMON,
    END};
const lort_cli_option lort_cli_inspect_options[] = {WEIGHTS(run),
                                                    SIDE_FILES(run),
                                                    MEMORY(run.memory_bytes),
                                                    OFFLINE(run.offline),
                                                    SPOOL(run),
                                                    COMMON,
                                                    END};
const lort_cli_option lort_cli_verify_options[] = {
    {"quick", 0, LORT_CLI_FLAG, AT(quick_check),
     .help = "check the records only; read no header and no weight"},
    BASE(run.base, "the base model of a difference; without it restored bytes are not checked"),
    MEMORY(run.memory_bytes),
    THREADS(run.threads),
    OFFLINE(run.offline),
    SPOOL(run),
    COMMON,
    END};
#define DTYPE                                                                                      \
    {                                                                                              \
        "dtype", 0, LORT_CLI_NAME, AT(dtype),                                                      \
            .choices = dtypes, .argument = "F32|F16|BF16",                                         \
            .help = "type of factored and coded tensors, instead of their own"                     \
    }
const lort_cli_option lort_cli_restore_options[] = {
    OUTPUT("the file to write, the new directory of several files, or - for standard output"),
    DTYPE,
    {"tensor", 0, LORT_CLI_TEXT, AT(tensor), .argument = "NAME",
     .help = "write the bytes of this tensor only"},
    {"file", 0, LORT_CLI_PATH, AT(file), .argument = "NAME",
     .help = "write this file of the model only, such as a shard"},
    {"sha256", 0, LORT_CLI_FLAG, AT(sha256),
     .help = "print the SHA-256 of each restored file, as sha256sum does"},
    BASE(run.base, "the base model of a difference"),
    FORCE,
    MEMORY(run.memory_bytes),
    THREADS(run.threads),
    OFFLINE(run.offline),
    SPOOL(run),
    COMMON,
    END};
const lort_cli_option lort_cli_run_options[] = {DTYPE,
                                                BASE(run.base, "the base model of a difference"),
                                                MEMORY(run.memory_bytes),
                                                THREADS(run.threads),
                                                OFFLINE(run.offline),
                                                SPOOL(run),
                                                COMMON,
                                                END};
const lort_cli_option lort_cli_compare_options[] = {
    FAIL_ABOVE(fail_above, "exit 7 if the relative error of a tensor is above F or undefined"),
    BASE(run.base, "the base model of a difference among the two"),
    WEIGHTS(run),
    SIDE_FILES(run),
    MEMORY(run.memory_bytes),
    THREADS(run.threads),
    OFFLINE(run.offline),
    SPOOL(run),
    COMMON,
    END};

#define QUANTIZE_LIST(member)                                                                      \
    AT(quantize.member##s), .count = offsetof(lort_cli_values, quantize.member##_count)
const lort_cli_option lort_cli_quantize_options[] = {
    OUTPUT("the GGUF file to write; with --keep-split a new directory"),
    {"type", 0, LORT_CLI_TEXT, LORT_GOAL_TYPE, AT(quantize.type), .argument = "NAME",
     .help = "target: a mix of llama-quantize, such as Q4_K_M, Q6_K or Q8_0"},
    {"size", 0, LORT_CLI_SIZE, LORT_GOAL_SIZE, AT(job.size_bytes),
     .count = offsetof(lort_cli_values, job.value), .low = 1, .high = 4611686018427387904.0,
     .allowed = "a size such as 4G, or a share of the input such as 30%", .argument = "BYTES|P%",
     .help = "target: size of the output file; the file is never larger"},
    {"bpw", 0, LORT_CLI_REAL, LORT_GOAL_BPW, AT(job.value), .low = 0.01, .high = 64,
     .allowed = "a number from 0.01 to 64", .argument = "B",
     .help = "target: 8 x bytes of the file / weights, at most B"},
    {"imatrix", 0, LORT_CLI_PATH, AT(job.imatrix), .argument = "FILE",
     .help = "importance matrix of llama.cpp; LoRT weighs errors by it"},
    {"types", 0, LORT_CLI_TEXT, AT(quantize.types), .argument = "LIST",
     .help = "with --size and --bpw: the types to choose from, such as Q4_K,Q6_K"},
    {"tensor-type", 0, LORT_CLI_LIST, QUANTIZE_LIST(tensor_type), .argument = "GLOB=TYPE",
     .help = "type of the tensors of these names; the first match counts; repeatable"},
    {"pure", 0, LORT_CLI_FLAG, AT(quantize.pure),
     .help = "with --type: every quantised tensor in the base type of the mix"},
    {"allow-requantize", 0, LORT_CLI_FLAG, AT(quantize.allow_requantize),
     .help = "accept a model that is quantised already"},
    {"keep-split", 0, LORT_CLI_FLAG, AT(quantize.keep_split),
     .help = "a split model gives as many shards, in a new directory"},
    {"dry-run", 0, LORT_CLI_FLAG, AT(quantize.dry_run),
     .help = "print types, size, memory and time; write nothing"},
    {"recipe", 0, LORT_CLI_PATH, AT(quantize.recipe), .argument = "FILE",
     .help = "write the types for llama-quantize --tensor-type-file"},
    {"mode", 0, LORT_CLI_CHOICE, AT(job.mode), .choices = modes, .argument = "auto|full|stream",
     .help = "hold the model in memory (full) or read it through a window (stream)"},
    MEMORY(job.memory_bytes),
    THREADS(job.threads),
    {"force", 0, LORT_CLI_FLAG, AT(job.force), .help = "replace an existing output file"},
    RESUME,
    TIME_LIMIT,
    OFFLINE(job.offline),
    SPOOL(job),
    SPOOL_KEEP,
    COMMON,
    END};

static const char *const outtypes[] = {"F32", "F16", "BF16", "Q8_0", NULL};
const lort_cli_option lort_cli_extract_options[] = {
    {"base", 0, LORT_CLI_PATH, AT(base), .argument = "BASE",
     .help = "the model that the fine-tune began from"},
    OUTPUT("of a GGUF pair the adapter, OUT.gguf; else the new directory for PEFT"),
    {"rank", 0, LORT_CLI_WHOLE, LORT_GOAL_RANK, AT(job.rank), .low = 1, .high = MOST_RANK,
     .allowed = "a whole number from 1 to 1000000", .argument = "N",
     .help = "target: rank N for each tensor"},
    {"energy", 0, LORT_CLI_REAL, LORT_GOAL_ENERGY, AT(job.value), .low = DBL_TRUE_MIN, .high = 1,
     .allowed = "a number above 0, at most 1", .argument = "F",
     .help = "target: the share F of the squared norm of all updates (default 0.98)"},
    {"max-error", 0, LORT_CLI_REAL, LORT_GOAL_ERROR, AT(job.value), .low = 0, .high = BELOW_1,
     .allowed = "a number from 0, below 1", .argument = "F",
     .help = "target: relative error of each update, at most F"},
    {"size", 0, LORT_CLI_SIZE, LORT_GOAL_SIZE, AT(job.size_bytes),
     .count = offsetof(lort_cli_values, job.value), .low = 1, .high = 4611686018427387904.0,
     .allowed = "a size such as 100M, or a share of the fine-tune such as 5%",
     .argument = "BYTES|P%", .help = "target: bytes of all factors, at most"},
    {"max-rank", 0, LORT_CLI_WHOLE, AT(job.max_rank), .low = 1, .high = MOST_RANK,
     .allowed = "a whole number from 1 to 1000000", .argument = "N",
     .help = "no rank is above N (default 256)"},
    {"outtype", 0, LORT_CLI_NAME, AT(extract.outtype), .choices = outtypes,
     .argument = "F32|F16|BF16|Q8_0", .help = "type of the factors (default F16); Q8_0: GGUF only"},
    {"include", 0, LORT_CLI_LIST, LISTS(include), .argument = "GLOB",
     .help = "look at tensors of these names only; repeatable"},
    {"exclude", 0, LORT_CLI_LIST, LISTS(exclude), .argument = "GLOB",
     .help = "do not look at tensors of these names; wins over --include; repeatable"},
    {"drop-unsupported", 0, LORT_CLI_FLAG, AT(extract.drop_unsupported),
     .help = "leave out what differs and an adapter cannot hold, with a warning each"},
    {"mode", 0, LORT_CLI_CHOICE, AT(job.mode), .choices = modes, .argument = "auto|full|stream",
     .help = "hold the models in memory (full) or read them through a window (stream)"},
    WEIGHTS(job),
    MEMORY(job.memory_bytes),
    THREADS(job.threads),
    BLAS_CORE,
    {"force", 0, LORT_CLI_FLAG, AT(job.force), .help = "replace an existing adapter file"},
    SPECTRA(job.spectra),
    OFFLINE(job.offline),
    SPOOL(job),
    SPOOL_KEEP,
    COMMON,
    END};

const lort_cli_option lort_cli_report_options[] = {
    OUTPUT("the page to write: R.html, R.md, R.csv or R.prom"), FORCE, COMMON, END};
