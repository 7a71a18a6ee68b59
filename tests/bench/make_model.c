/* make_model: models of any size for the benchmarks, from a seed. Their bf16 weights are normal
 * noise and 16 components above it. Or the model is a sparse file that has only the header.
 *
 *   make_model PATH [NAME=VALUE ...]
 *
 * PATH ends in .gguf or .safetensors, or is a directory to make, for shards. The settings:
 *
 *   vocab= hidden= kv= ffn= layers=   a transformer; a side of 0 (default) has no matrices
 *   mlp=2                             up and down only
 *   big= rows= cols=                  `big` matrices of rows x cols, which stand first
 *   shards= seed= sparse=1            files, seed, and a sparse file
 *
 * A layer has q and o of hidden x hidden, k and v of kv x hidden. It has gate, up and down of ffn x
 * hidden, and two norms. Embedding and head are vocab x hidden. */
#define _GNU_SOURCE
#include "formats/types/half.h"
#include "loader/machine/pool.h"
#include "tests/bench/bench.h"
#include <fcntl.h>
#include <math.h>
#include <sys/stat.h>

#define COMPONENTS 16
/* of the first component over noise of 1; the i-th has 1 / sqrt(i) of it */
#define STRENGTH 0.1f
#define PIECE_BYTES (8 << 20)
#define NORMALS (1 << 16)
#define ALIGNMENT 32 /* of tensors in a GGUF */

typedef struct weights {
    char name[80];
    int64_t rows, cols; /* rows 0: a vector */
    uint64_t offset;    /* from the start of the file's tensors */
    unsigned file;
} weights;

static struct {
    const char *name;
    int64_t value;
} settings[] = {{"vocab", 0},  {"hidden", 0}, {"kv", 0},   {"ffn", 0},
                {"layers", 0}, {"mlp", 3},    {"big", 0},  {"rows", 0},
                {"cols", 0},   {"shards", 1}, {"seed", 1}, {"sparse", 0}};
enum { VOCAB, HIDDEN, KV, FFN, LAYERS, MLP, BIG, ROWS, COLS, SHARDS, SEED, SPARSE, SETTINGS };
#define SET(which) settings[which].value

/* sides as settings; rows -1: a vector */
static const struct matrix_kind {
    const char *safetensors, *gguf;
    int rows, cols;
} kinds[] = {{"input_layernorm", "attn_norm", -1, HIDDEN},
             {"self_attn.q_proj", "attn_q", HIDDEN, HIDDEN},
             {"self_attn.k_proj", "attn_k", KV, HIDDEN},
             {"self_attn.v_proj", "attn_v", KV, HIDDEN},
             {"self_attn.o_proj", "attn_output", HIDDEN, HIDDEN},
             {"post_attention_layernorm", "ffn_norm", -1, HIDDEN},
             {"mlp.gate_proj", "ffn_gate", FFN, HIDDEN},
             {"mlp.up_proj", "ffn_up", FFN, HIDDEN},
             {"mlp.down_proj", "ffn_down", HIDDEN, FFN}};
enum { KINDS = sizeof kinds / sizeof kinds[0], GATE = 6 };

typedef struct model {
    const char *path;
    bool gguf, directory;
    weights *all;
    uint64_t count, room, bytes;
    uint64_t data_at[1000], data_bytes[1000]; /* by file */
    int files[1000];
    uint64_t *pieces; /* [count + 1]: first piece of each tensor */
    float normals[NORMALS];
} model;

static uint64_t bytes_of(const weights *w)
{
    return 2 * (uint64_t)(w->rows ? w->rows : 1) * (uint64_t)w->cols;
}

/* ---- its contents ---- */

static void add(model *m, const char *name, int64_t rows, int64_t cols)
{
    if (rows == 0 || cols == 0)
        return;
    if (m->count == m->room) {
        m->room = m->room ? 2 * m->room : 64;
        m->all = realloc(m->all, m->room * sizeof *m->all);
        bench_need(m->all != NULL, "no memory");
    }
    weights *w = &m->all[m->count++];
    *w = (weights){.rows = rows < 0 ? 0 : rows, .cols = cols};
    snprintf(w->name, sizeof w->name, "%s", name);
    m->bytes += bytes_of(w);
}

static void add_layer(model *m, int64_t layer)
{
    char name[120];
    for (int k = 0; k < KINDS; k++) {
        if (k == GATE && SET(MLP) == 2)
            continue;
        snprintf(name, sizeof name, m->gguf ? "blk.%d.%s.weight" : "model.layers.%d.%s.weight",
                 (int)layer, m->gguf ? kinds[k].gguf : kinds[k].safetensors);
        add(m, name, kinds[k].rows < 0 ? -1 : SET(kinds[k].rows), SET(kinds[k].cols));
    }
}

static void list(model *m)
{
    char name[40];
    for (int64_t i = 0; i < SET(BIG); i++) {
        snprintf(name, sizeof name, "big.%d.weight", (int)i);
        add(m, name, SET(ROWS), SET(COLS));
    }
    add(m, m->gguf ? "token_embd.weight" : "model.embed_tokens.weight", SET(VOCAB), SET(HIDDEN));
    for (int64_t i = 0; i < SET(LAYERS); i++)
        add_layer(m, i);
    add(m, m->gguf ? "output_norm.weight" : "model.norm.weight", SET(LAYERS) ? -1 : 0, SET(HIDDEN));
    add(m, m->gguf ? "output.weight" : "lm_head.weight", SET(VOCAB), SET(HIDDEN));
}

/* Divides the tensors, in order, among files of about equal size. */
static void place(model *m)
{
    uint64_t seen = 0;
    for (uint64_t i = 0; i < m->count; i++) {
        weights *w = &m->all[i];
        w->file = (unsigned)(seen * (uint64_t)SET(SHARDS) / m->bytes);
        w->offset = m->data_bytes[w->file];
        seen += bytes_of(w);
        m->data_bytes[w->file] += (bytes_of(w) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
        bench_need(m->gguf || bytes_of(w) % ALIGNMENT == 0,
                   "tensors of safetensors stand side by side: columns are multiples of 16");
    }
}

/* ---- headers ---- */

typedef struct text {
    char *at;
    size_t n, room;
} text;

static void put(text *t, const void *bytes, size_t n)
{
    if (t->n + n > t->room) {
        t->room = 2 * (t->n + n);
        t->at = realloc(t->at, t->room);
        bench_need(t->at != NULL, "no memory");
    }
    memcpy(t->at + t->n, bytes, n);
    t->n += n;
}

static void put_u(text *t, uint64_t value, size_t bytes)
{
    uint8_t number[8];
    lort_store_u64(number, value);
    put(t, number, bytes);
}

static void put_string(text *t, const char *string)
{
    put_u(t, strlen(string), 8);
    put(t, string, strlen(string));
}

static void gguf_header(const model *m, text *t)
{
    const char zeros[ALIGNMENT] = {0};
    put(t, "GGUF\3\0\0\0", 8);
    put_u(t, m->count, 8);
    put_u(t, 1, 8);
    put_string(t, "general.architecture");
    put_u(t, 8, 4); /* a string */
    put_string(t, "llama");
    for (uint64_t i = 0; i < m->count; i++) {
        const weights *w = &m->all[i];
        put_string(t, w->name);
        put_u(t, w->rows ? 2 : 1, 4);
        put_u(t, (uint64_t)w->cols, 8);
        if (w->rows)
            put_u(t, (uint64_t)w->rows, 8);
        put_u(t, LORT_BF16, 4);
        put_u(t, w->offset, 8);
    }
    put(t, zeros, (ALIGNMENT - t->n % ALIGNMENT) % ALIGNMENT);
}

static void safetensors_header(const model *m, unsigned file, text *t)
{
    char line[300];
    put_u(t, 0, 8);
    for (uint64_t i = 0; i < m->count; i++) {
        const weights *w = &m->all[i];
        if (w->file != file)
            continue;
        int n = snprintf(line, sizeof line, "%s\"%s\":{\"dtype\":\"BF16\",\"shape\":[",
                         t->n == 8 ? "{" : ",", w->name);
        put(t, line, (size_t)n);
        n = w->rows ? snprintf(line, sizeof line, "%" PRId64 ",", w->rows) : 0;
        put(t, line, (size_t)n);
        n = snprintf(line, sizeof line, "%" PRId64 "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}",
                     w->cols, w->offset, w->offset + bytes_of(w));
        put(t, line, (size_t)n);
    }
    put(t, "}       ", 8 - t->n % 8); /* the data begin at a multiple of 8 */
    lort_store_u64(t->at, t->n - 8);
}

static void name_of(const model *m, unsigned file, char out[500])
{
    if (m->directory)
        snprintf(out, 500, "%s/model-%05u-of-%05u.safetensors", m->path, file + 1,
                 (unsigned)SET(SHARDS));
    else
        snprintf(out, 500, "%s", m->path);
}

static void open_files(model *m)
{
    char name[500];
    bench_need(!m->directory || mkdir(m->path, 0777) == 0, "the directory cannot be made");
    for (unsigned f = 0; f < (unsigned)SET(SHARDS); f++) {
        text head = {0};
        if (m->gguf)
            gguf_header(m, &head);
        else
            safetensors_header(m, f, &head);
        name_of(m, f, name);
        m->files[f] = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
        m->data_at[f] = head.n;
        bench_need(m->files[f] >= 0 && pwrite(m->files[f], head.at, head.n, 0) == (ssize_t)head.n,
                   name);
        bench_need(ftruncate(m->files[f], (off_t)(head.n + m->data_bytes[f])) == 0, name);
        free(head.at);
    }
}

static void write_index(const model *m)
{
    char name[500], file[500];
    snprintf(name, sizeof name, "%s/model.safetensors.index.json", m->path);
    FILE *out = fopen(name, "w");
    bench_need(out != NULL, name);
    fprintf(out, "{\"metadata\": {\"total_size\": %" PRIu64 "}, \"weight_map\": {", m->bytes);
    for (uint64_t i = 0; i < m->count; i++) {
        name_of(m, m->all[i].file, file);
        fprintf(out, "%s\n\"%s\": \"%s\"", i ? "," : "", m->all[i].name, strrchr(file, '/') + 1);
    }
    fprintf(out, "}}\n");
    bench_need(fclose(out) == 0, name);
}

/* ---- weights ---- */

static uint64_t mix(uint64_t x)
{
    x += 0x9E3779B97F4A7C15u;
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return x ^ x >> 31;
}

static void fill_normals(model *m)
{
    for (uint64_t i = 0; i < NORMALS; i++) {
        const uint64_t x = mix((uint64_t)SET(SEED) << 32 | i);
        m->normals[i] = sqrtf(-2 * logf(((float)(x >> 40) + 1) / 16777216)) *
                        cosf(6.2831853f * (float)(x & 0xFFFFFF) / 16777216);
    }
}

/* n numbers of the stream with this key. */
static void noise(const model *m, uint64_t key, int64_t n, float *out)
{
    for (int64_t i = 0; i < n; i += 4) {
        const uint64_t x = mix(key + (uint64_t)i);
        for (int64_t k = i; k < i + 4 && k < n; k++)
            out[k] = m->normals[x >> 16 * (k - i) & 0xFFFF];
    }
}

static int64_t rows_of_piece(const weights *w)
{
    return w->cols > PIECE_BYTES / 2 ? 1 : PIECE_BYTES / 2 / w->cols;
}
static uint64_t pieces_of(const weights *w)
{
    return (uint64_t)(((w->rows ? w->rows : 1) + rows_of_piece(w) - 1) / rows_of_piece(w));
}

/* right: [COMPONENTS][cols]. */
static void fill_row(const model *m, uint64_t key, int64_t row, int64_t cols, const float *right,
                     float *out)
{
    float left[COMPONENTS];
    noise(m, mix(key + 1 + (uint64_t)row), cols, out);
    noise(m, mix(key ^ 0xFFFFFFFFu) + (uint64_t)row * COMPONENTS, COMPONENTS, left);
    for (int k = 0; k < COMPONENTS; k++) {
        const float scale = left[k] * STRENGTH / sqrtf((float)(k + 1));
        const float *from = right + k * cols;
        for (int64_t c = 0; c < cols; c++)
            out[c] += scale * from[c];
    }
    for (int64_t c = 0; c < cols; c++)
        out[c] *= 0.02f;
}

static lort_code write_piece(void *ctx, int64_t item, unsigned worker, unsigned slot,
                             lort_error *err)
{
    model *m = ctx;
    uint64_t i = 0;
    while (m->pieces[i + 1] <= (uint64_t)item)
        i++;
    const weights *w = &m->all[i];
    const int64_t step = rows_of_piece(w), from = (item - (int64_t)m->pieces[i]) * step,
                  rows = w->rows ? w->rows : 1;
    const int64_t end = from + step < rows ? from + step : rows;
    const uint64_t key = mix((uint64_t)SET(SEED) << 32 | i) & ~(uint64_t)0xFFFFFFFF,
                   bytes = 2 * (uint64_t)((end - from) * w->cols);
    float *right = malloc(sizeof *right * COMPONENTS * (size_t)w->cols),
          *row = malloc(sizeof *row * (size_t)w->cols);
    uint8_t *out = malloc(bytes);
    bench_need(right && row && out, "no memory");
    for (int k = 0; k < COMPONENTS; k++)
        noise(m, mix(key - 1 - (uint64_t)k), w->cols, right + k * w->cols);
    for (int64_t r = from; r < end; r++) {
        fill_row(m, key, r, w->cols, right, row);
        lort_store_bf16(row, out + 2 * (r - from) * w->cols, (uint64_t)w->cols);
    }
    const off_t at = (off_t)(m->data_at[w->file] + w->offset + 2 * (uint64_t)(from * w->cols));
    bench_need(pwrite(m->files[w->file], out, bytes, at) == (ssize_t)bytes,
               "the model cannot be written");
    /* so that the disk is busy at once, and little is dirty at the end */
    (void)sync_file_range(m->files[w->file], at, (off_t)bytes, SYNC_FILE_RANGE_WRITE);
    free(right);
    free(row);
    free(out);
    return LORT_OK;
}

static void write_weights(model *m)
{
    lort_pool *pool;
    lort_error err;
    unsigned started;
    fill_normals(m);
    m->pieces = calloc(m->count + 1, sizeof *m->pieces);
    bench_need(m->pieces != NULL, "no memory");
    for (uint64_t i = 0; i < m->count; i++)
        m->pieces[i + 1] = m->pieces[i] + pieces_of(&m->all[i]);
    bench_ok(lort_pool_open((unsigned)sysconf(_SC_NPROCESSORS_ONLN), &pool, &started, &err), &err);
    bench_ok(lort_pool_each(pool, (int64_t)m->pieces[m->count], write_piece, m, &err), &err);
    lort_pool_close(pool);
    free(m->pieces);
}

static void set(const char *argument)
{
    const char *equals = strchr(argument, '=');
    for (int i = 0; equals && i < SETTINGS; i++)
        if (strlen(settings[i].name) == (size_t)(equals - argument) &&
            memcmp(settings[i].name, argument, (size_t)(equals - argument)) == 0) {
            settings[i].value = atoll(equals + 1);
            return;
        }
    bench_need(false, argument);
}

int main(int argc, char **argv)
{
    static model m;
    bench_need(argc > 1, "make_model PATH [NAME=VALUE ...]");
    m.path = argv[1];
    for (int i = 2; i < argc; i++)
        set(argv[i]);
    const char *end = strrchr(m.path, '.');
    m.gguf = end && strcmp(end, ".gguf") == 0;
    m.directory = !m.gguf && !(end && strcmp(end, ".safetensors") == 0);
    bench_need(SET(SHARDS) > 0 && SET(SHARDS) < 1000 && (m.directory || SET(SHARDS) == 1),
               "shards are for directories, under 1000");
    list(&m);
    bench_need(m.count > 0, "nothing was asked for");
    place(&m);
    open_files(&m);
    if (m.directory)
        write_index(&m);
    if (!SET(SPARSE))
        write_weights(&m);
    for (unsigned f = 0; f < (unsigned)SET(SHARDS); f++)
        bench_need((SET(SPARSE) || fsync(m.files[f]) == 0) && close(m.files[f]) == 0,
                   "the model cannot be written");
    printf("%" PRIu64 "\n", m.bytes);
    free(m.all);
    return 0;
}
