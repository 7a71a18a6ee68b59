/* Writes the seeds of tests/fuzz/corpus that are not text: sound small inputs of the targets, and
 * one of each kind of fault. Run it from the root of the tree after a format has changed:
 *
 *   make build/release/tests/fuzz/make_seeds && build/release/tests/fuzz/make_seeds */
#define _XOPEN_SOURCE 700
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "formats/base/bytes.h"
#include "tests/unit/container_fixture.h"
#include "tests/unit/tiny_model.h"

static lort_codec *codec;
static fixture f;

static lort_buffer empty(void) { return (lort_buffer){.alloc = &lort_alloc_heap}; }

/* Writes the seed, and frees the buffer. */
static void seed(const char *target, const char *name, lort_buffer *bytes)
{
    char dir[200];
    snprintf(dir, sizeof dir, "tests/fuzz/corpus/%s", target);
    mkdir(dir, 0755);
    tiny_write_buffer(dir, name, bytes);
}

static void put_run(lort_buffer *out, const void *bytes, uint64_t n)
{
    assert_true(n <= UINT16_MAX);
    lort_put_u16(out, (uint16_t)n);
    if (n)
        lort_put_bytes(out, bytes, n);
}

static void put_noise(lort_buffer *out, uint64_t n, uint64_t state)
{
    for (uint64_t i = 0; i < n; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        lort_put_u8(out, (uint8_t)(state >> 56));
    }
}

/* ---- archive and weights: fuzz_sealed.h ---- */

/* Returns the bytes to which a part's chunks decode. */
static lort_buffer content_of(const fixture_part *p)
{
    lort_buffer out = empty();
    uint8_t planes[4096], bytes[4096];
    for (uint64_t i = 0; i < p->part.chunk_count; i++) {
        const lort_chunk *chunk = &p->chunks[i];
        const lort_array_info *array = lort_array_get(chunk->array);
        const lort_term *term =
            lort_part_term(&p->part, chunk->array & (LORT_MAX_SLICES - 1), array->term);
        assert_int_equal(lort_codec_decode_frames(codec, p->payload + chunk->offset, chunk->stored,
                                                  planes, chunk->decoded, NULL),
                         LORT_OK);
        lort_planes_join(planes, bytes, chunk->decoded,
                         array->right ? term->right_width : term->left_width,
                         array->right ? term->right_rotate : term->left_rotate);
        lort_put_bytes(&out, bytes, chunk->decoded);
    }
    return out;
}

static void put_part(lort_buffer *out, const fixture_part *p, bool literal)
{
    lort_buffer body = empty(), content = content_of(p);
    lort_part_put(&p->part, &body);
    put_run(out, body.data, body.size);
    if (literal)
        put_run(out, p->payload, p->part.payload_bytes);
    else
        put_run(out, content.data, content.size);
    lort_buffer_free(&body);
    lort_buffer_free(&content);
}

/* Writes one input for the targets of sealed containers. weights has sizes of pieces behind the
 * first byte, commands has the tensor to restore. how 0: a file, which `commands` does not take. */
static void seed_sealed(const char *name, uint8_t how, const lort_buffer *rest)
{
    static const char *const targets[] = {"archive", "weights", "commands"};
    for (int i = 0; i < 3 - (how == 0); i++) {
        lort_buffer out = empty();
        lort_put_u8(&out, i == 2 ? how & 1 : how);
        if (i)
            lort_put_bytes(&out, "\x03\x11\x00", i == 1 ? 3 : 1);
        if (rest->size)
            lort_put_bytes(&out, rest->data, rest->size);
        seed(targets[i], name, &out);
    }
}

static void seed_part(const char *name, const fixture_part *p, bool literal)
{
    lort_buffer rest = empty();
    put_part(&rest, p, literal);
    seed_sealed(name, literal ? 1 : 2, &rest);
    lort_buffer_free(&rest);
}

/* Integers of 4 x 5 whose columns are scaled. */
static void make_scaled(fixture_part *p, int64_t *dims)
{
    static uint8_t codes[14];
    const fixture_part *like = &f.parts[7];
    *p = *like;
    dims[0] = 4;
    dims[1] = 5;
    p->part.n_dims = 2;
    p->part.dims = dims;
    p->part.slices = 1;
    p->part.source_bytes = 80;
    p->part.term_count = 1;
    p->part.terms = p->terms;
    p->part.chunks = p->chunks;
    p->terms[0].rank = p->rank[0];
    p->terms[0].step = p->step;
    p->terms[0].scaled = true;
    p->part.chunk_count = p->part.payload_bytes = 0;
    for (int i = 0; i < 14; i++)
        codes[i] = (uint8_t)(i < 4 ? 130 + i : i < 9 ? 127 + (i - 4) % 3 : 100 + 12 * (i - 9));
    fixture_chunk(p, codec, LORT_ARRAY_ID(LORT_ARRAY_CODES, 0), &p->terms[0], 0, codes,
                  sizeof codes);
    lort_chunk block = like->chunks[1];
    memcpy(p->payload + p->part.payload_bytes, like->payload + block.offset, block.stored);
    block.offset = p->part.payload_bytes;
    p->part.payload_bytes += block.stored;
    p->chunks[p->part.chunk_count++] = block;
}

static void seed_containers(void)
{
    char name[40];
    static fixture_part scaled;
    int64_t dims[2];
    lort_buffer rest = empty();
    for (uint32_t i = 0; i < FIXTURE_PARTS; i++)
        for (int literal = 0; literal < 2; literal++) {
            snprintf(name, sizeof name, "%s-part-%u", literal ? "payload" : "content", i);
            seed_part(name, &f.parts[i], literal);
        }
    make_scaled(&scaled, dims);
    seed_part("content-scaled-columns", &scaled, false);
    for (uint32_t i = 1; i < 5; i++)
        put_part(&rest, &f.parts[i], false);
    seed_sealed("content-four-parts", 2, &rest);
    put_part(&rest, &f.parts[2], false);
    seed_sealed("content-name-twice", 2, &rest);
    rest.size = 0;
    seed_sealed("no-parts", 2, &rest);
    lort_put_bytes(&rest, f.file.data, f.file.size);
    seed_sealed("file", 0, &rest);
    rest.size = f.file.size / 2;
    seed_sealed("file-cut", 0, &rest);
    rest.size = 33;
    seed_sealed("file-head-cut", 0, &rest);
    lort_buffer_free(&rest);
}

/* Writes a part of the fixture with one byte of its content changed, `at` bytes before its end. */
static void seed_fault(const char *name, uint32_t part, uint64_t at, uint8_t byte)
{
    lort_buffer rest = empty();
    put_part(&rest, &f.parts[part], false);
    rest.data[rest.size - at] = byte;
    seed_sealed(name, 2, &rest);
    lort_buffer_free(&rest);
}

static void seed_faults(void)
{
    seed_fault("content-factor-nan", 2, 1, 0x7f);
    seed_fault("content-trits-243", 8, 1, 243);
    seed_fault("content-trit-behind-the-last", 8, 1, 242);
    seed_fault("content-block-word", 7, 81, 1); /* before the raw slice */
}

/* A file whose header is true: its tensor can change its type. */
static void seed_retyped(void)
{
    static const char json[] =
        "{\"experts.weight\":{\"dtype\":\"F32\",\"shape\":[2,6,5],\"data_offsets\":[0,240]}}   ";
    static fixture_part head;
    lort_buffer header = empty(), out = empty();
    lort_put_u64(&header, sizeof json - 1);
    lort_put_bytes(&header, json, sizeof json - 1);
    head = f.parts[0];
    head.dims[0] = (int64_t)header.size;
    head.part.dims = head.dims;
    head.part.source_bytes = header.size;
    head.part.source = lort_xxh128(header.data, header.size);
    head.part.terms = head.terms;
    head.part.chunks = head.chunks;
    head.terms[0].rank = head.rank[0];
    head.part.chunk_count = head.part.payload_bytes = 0;
    fixture_chunk(&head, codec, LORT_ARRAY_ID(LORT_ARRAY_RAW, 0), &head.terms[0], 0, header.data,
                  header.size);
    for (uint8_t what = 0; what < 4; what++) {
        static const char *const targets[] = {"retyped-none", "retyped-f32", "retyped-f16",
                                              "retyped-bf16"};
        lort_put_u8(&out, 0);
        lort_put_u8(&out, what);
        put_part(&out, &head, false);
        put_part(&out, &f.parts[2], false);
        seed("commands", targets[what], &out);
        out = empty();
    }
    lort_buffer_free(&header);
}

/* ---- models ---- */

static lort_buffer read_file(const char *dir, const char *name)
{
    lort_buffer out = empty();
    FILE *in = fopen(tiny_path(dir, name), "rb");
    assert_non_null(in);
    for (int c; (c = fgetc(in)) != EOF;)
        lort_put_u8(&out, (uint8_t)c);
    fclose(in);
    return out;
}

/* The numbers are those of fuzz_model.c. */
static const char *const names[] = {"model.safetensors.index.json",
                                    "model-00001-of-00002.safetensors",
                                    "model-00002-of-00002.safetensors",
                                    "m-00001-of-00002.gguf",
                                    "m-00002-of-00002.gguf",
                                    "config.json",
                                    "model.safetensors",
                                    "m.gguf"};

/* which: numbers of names, in hex digits. */
static void seed_model(const char *dir, const char *name, uint8_t how, const char *which)
{
    lort_buffer out = empty();
    lort_put_u8(&out, how);
    for (; *which; which++) {
        lort_buffer bytes = read_file(dir, names[*which - '0']);
        lort_put_u8(&out, (uint8_t)(*which - '0'));
        put_run(&out, bytes.data, bytes.size);
        lort_buffer_free(&bytes);
    }
    seed("model", name, &out);
}

static void seed_models(void)
{
    static const char *const pairs[] = {"a", "model-00001-of-00002.safetensors", "b",
                                        "model-00002-of-00002.safetensors", NULL};
    const tiny_tensor tensors[] = {TINY("a", "F32", 2, 3), TINY("b", "F16", 4),
                                   TINY("q", "Q8_0", 2, 32), TINY("e", "BF16", 0, 2)};
    char dir[32];
    tiny_dir(dir);
    tiny_index(dir, names[0], pairs);
    tiny_safetensors(dir, names[1], tensors, 1);
    tiny_safetensors(dir, names[2], tensors + 1, 1);
    tiny_gguf(dir, names[3], tensors, 1, &(tiny_split){0, 2, 2, NULL});
    tiny_gguf(dir, names[4], tensors + 2, 1, &(tiny_split){1, 2, 2, NULL});
    tiny_text(dir, names[5], "{}");
    tiny_safetensors(dir, names[6], tensors, 2);
    tiny_gguf(dir, names[7], tensors, 3, NULL);
    seed_model(dir, "index", 0, "0125");
    seed_model(dir, "index-without-a-shard", 0, "02");
    seed_model(dir, "split", 3, "34");
    seed_model(dir, "split-second-alone", 4, "4");
    seed_model(dir, "one-safetensors", 6, "65");
    seed_model(dir, "one-gguf", 7, "57");
    seed_model(dir, "several", 7, "67");
    seed_model(dir, "shards-without-index", 1, "12");
    lort_buffer file = read_file(dir, names[6]);
    seed_sealed("model-safetensors", 0, &file);
    lort_buffer_free(&file);
    file = read_file(dir, names[7]);
    seed_sealed("model-gguf", 0, &file);
    lort_buffer_free(&file);
    tiny_remove(dir);
    /* two seeds that are no container are one too many */
    unlink("tests/fuzz/corpus/archive/model-gguf");
}

/* ---- zstd frames ---- */

static void seed_codec(const char *name, uint8_t what, uint32_t number, const void *bytes,
                       uint64_t n)
{
    lort_buffer out = empty();
    lort_put_u8(&out, what);
    lort_put_u16(&out, (uint16_t)number);
    lort_put_u8(&out, (uint8_t)(number >> 16));
    lort_put_bytes(&out, bytes, n);
    seed("codec", name, &out);
}

static void seed_frames(void)
{
    static const char text[] = "the quick brown fox, the quick brown dog, the quick brown cat";
    /* magic, descriptor, window, size of the content, block */
    static const uint8_t window_31[] = {0x28, 0xb5, 0x2f, 0xfd, 0x80, 0xa8, 4,   0,  0,
                                        0,    0x21, 0,    0,    'a',  'b',  'c', 'd'};
    static const uint8_t large[] = {0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0,   0,   0,   0,
                                    1,    0,    0,    0x21, 0,    0, 'a', 'b', 'c', 'd'};
    static const uint8_t unknown[] = {0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58, 0x21,
                                      0,    0,    'a',  'b',  'c',  'd'};
    static const uint8_t run[] = {0x28, 0xb5, 0x2f, 0xfd, 0xa0, 0, 0, 2, 0, 0x03, 0, 0x10, 'x'};
    static const uint8_t skipped[] = {0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4};
    static const uint8_t dictionary[] = {0x28, 0xb5, 0x2f, 0xfd, 0x21, 7,   4,
                                         0x21, 0,    0,    'a',  'b',  'c', 'd'};
    uint8_t coded[400];
    uint64_t n, m;
    assert_int_equal(lort_codec_encode(codec, text, sizeof text, coded, sizeof coded, &n, NULL),
                     LORT_OK);
    seed_codec("frame", 0, sizeof text, coded, n);
    seed_codec("frame-size-too-small", 0, sizeof text - 1, coded, n);
    seed_codec("frame-cut", 0, sizeof text, coded, n - 1);
    assert_int_equal(lort_codec_encode(codec, text, 9, coded + n, sizeof coded - n, &m, NULL),
                     LORT_OK);
    seed_codec("frames-two", 1, sizeof text + 9, coded, n + m);
    seed_codec("frame-and-one-more", 0, sizeof text, coded, n + m);
    assert_int_equal(lort_codec_encode(codec, text, 0, coded, sizeof coded, &n, NULL), LORT_OK);
    seed_codec("frame-empty", 1, 0, coded, n);
    seed_codec("frame-window-31", 0, 4, window_31, sizeof window_31);
    seed_codec("frame-of-2-40", 0, 4, large, sizeof large);
    seed_codec("frame-size-unknown", 0, 4, unknown, sizeof unknown);
    seed_codec("frame-run-of-128-kib", 0, 1 << 17, run, sizeof run);
    seed_codec("frame-skippable", 1, 0, skipped, sizeof skipped);
    seed_codec("frame-dictionary", 0, 4, dictionary, sizeof dictionary);
    seed_codec("bytes", 2, 0, text, sizeof text);
    seed_codec("bytes-thorough-planes", 3, 3, text, sizeof text);
}

/* ---- records ---- */

static void seed_record(const char *name, lort_frame_kind kind, bool frames,
                        const lort_buffer *rest)
{
    lort_buffer out = empty();
    lort_put_u8(&out, (uint8_t)(kind << 1 | frames));
    lort_put_u16(&out, 30);
    lort_put_bytes(&out, rest->data, rest->size);
    seed("record", name, &out);
}

static void seed_records(void)
{
    static const char text[] = "abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz01234"
                               "56789abcdefghijklmnopqrstuvwxyz0123456789";
    static const lort_frame_kind fixed[] = {LORT_FRAME_HEAD, LORT_FRAME_FOOTER};
    lort_buffer out = empty();
    for (int i = 0; i < 2; i++, out.size = 0) {
        lort_put_bytes(&out, text, fixed[i] == LORT_FRAME_HEAD ? LORT_HEAD_BODY : LORT_FOOTER_BODY);
        lort_buffer frames = empty();
        assert_int_equal(lort_record_put(fixed[i], out.data, out.size, codec, &lort_alloc_heap, 100,
                                         &frames, NULL),
                         LORT_OK);
        seed_record(i ? "footer" : "head", fixed[i], true, &frames);
        lort_buffer_free(&frames);
    }
    assert_int_equal(lort_record_put(LORT_FRAME_PART, (const uint8_t *)text, sizeof text, codec,
                                     &lort_alloc_heap, 100, &out, NULL),
                     LORT_OK);
    seed_record("compressed", LORT_FRAME_PART, true, &out);
    seed_record("of-another-kind", LORT_FRAME_MODEL, true, &out);
    lort_store_u64(out.data + 24, 65536 + 1024 * 200);
    seed_record("claims-too-much", LORT_FRAME_PART, true, &out);
    out.size = 0;
    assert_int_equal(lort_record_put(LORT_FRAME_MODEL, (const uint8_t *)text, 40, codec,
                                     &lort_alloc_heap, 15, &out, NULL),
                     LORT_OK);
    seed_record("three-pieces", LORT_FRAME_MODEL, true, &out);
    out.size -= LORT_FRAME_HEADER + LORT_FRAME_TRAILER + 10;
    seed_record("third-piece-missing", LORT_FRAME_MODEL, true, &out);
    out.size = 0;
    lort_put_bytes(&out, text, sizeof text);
    seed_record("body", LORT_FRAME_INDEX, false, &out);
    lort_buffer_free(&out);
}

/* ---- integers, element types, planes ---- */

static void seed_stream(const char *name, uint8_t rows, uint8_t cols, uint8_t step, uint8_t codes,
                        float (*value)(uint64_t))
{
    lort_buffer out = empty();
    const uint8_t head[] = {(uint8_t)(rows - 1), (uint8_t)(cols - 1), step, codes};
    lort_put_bytes(&out, head, sizeof head);
    for (uint64_t i = 0; i < (uint64_t)rows * cols && i < 200; i++)
        lort_put_u16(&out, lort_f32_to_f16(value(i)));
    seed("stream", name, &out);
}

static float plain(uint64_t i) { return 0.3f * (float)((int)(i * 37 % 23) - 11); }
static float rare(uint64_t i) { return i % 17 ? 0.01f * plain(i) : 3000; }
static float none(uint64_t i) { return 0 * (float)i; }

static void seed_integers(void)
{
    seed_stream("plain", 17, 9, 38, 0, plain);
    seed_stream("codes", 20, 8, 38, 3, plain);
    seed_stream("fine-step", 3, 33, 28, 1, plain);
    seed_stream("coarse-step", 16, 4, 45, 1, plain);
    seed_stream("outliers", 16, 12, 34, 0, rare);
    seed_stream("zeros", 5, 5, 40, 0, none);
    seed_stream("one", 1, 1, 40, 0, plain);
    seed_stream("column", 40, 1, 38, 2, plain);
}

static void seed_types(void)
{
    static const uint32_t special[] = {0,          0x80000000, 1,          0x007fffff, 0x38800000,
                                       0x387fe000, 0x33000000, 0x33000001, 0x477fefff, 0x477ff000,
                                       0x7f7fffff, 0x7f800000, 0xff800000, 0x7fc00000, 0x7f800001,
                                       0xffffffff, 0x3f800000, 0x3f801000, 0x3f808000, 0x4afd0000};
    char name[60];
    for (uint32_t i = 0; lort_dtype_at(i); i++) {
        const lort_dtype_info *type = lort_dtype_at(i);
        lort_buffer out = empty();
        if (!type->decode)
            continue;
        lort_put_u8(&out, (uint8_t)i);
        lort_put_u8(&out, 1);
        put_noise(&out, 2 * type->block_bytes, i + 1);
        if (type->id == LORT_F32)
            for (uint32_t k = 0; k < 40; k++)
                lort_put_u32(&out, special[k % 20]);
        else if (type->block_elements == 1)
            put_noise(&out, 35 * type->block_bytes, i + 100);
        snprintf(name, sizeof name, "%s", type->name);
        seed("dtype", name, &out);
    }
}

static void seed_planes(void)
{
    static const struct {
        const char *name;
        uint16_t width;
        uint8_t how;
        uint64_t bytes;
    } cases[] = {{"one", 1, 0, 9},        {"f16", 2, 1, 21},       {"f32", 4, 1, 40},
                 {"f64", 8, 1, 131},      {"f32-plain", 4, 6, 67}, {"q8-0", 34, 8, 70},
                 {"widest", 1024, 0, 30}, {"empty", 4, 1, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lort_buffer out = empty();
        lort_put_u16(&out, (uint16_t)(cases[i].width - 1));
        lort_put_u8(&out, cases[i].how);
        put_noise(&out, cases[i].bytes, i + 1);
        seed("planes", cases[i].name, &out);
    }
}

/* ---- machines ---- */

typedef struct said {
    int number; /* as in fuzz_machine.c */
    const char *text;
} said;

static void seed_machine(const char *name, uint16_t memory, const said *says)
{
    lort_buffer out = empty();
    lort_put_u16(&out, memory);
    for (; says->text; says++) {
        lort_put_u8(&out, (uint8_t)says->number);
        put_run(&out, says->text, strlen(says->text));
    }
    seed("machine", name, &out);
}

#define MEMINFO                                                                                    \
    {                                                                                              \
        0, "MemTotal:       16000000 kB\nMemFree:         1000000 kB\nMemAvailable:    9000000 "   \
           "kB\nCommitLimit: 8000000 kB\nCommitted_AS: 7000000 kB\n"                               \
    }
#define V2                                                                                         \
    {2, "0::/a\n"},                                                                                \
        {3, "30 20 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"},   \
    {                                                                                              \
        5, "cpuset cpu io memory pids\n"                                                           \
    }

static void seed_machines(void)
{
    seed_machine("host", 0, (const said[]){MEMINFO, {0, NULL}});
    seed_machine(
        "host-old", 100,
        (const said[]){
            {0, "MemTotal: 100 kB\nMemFree: 50 kB\nBuffers: 5 kB\nCached: 20 kB\nShmem: 7 kB\n"},
            {0, NULL}});
    seed_machine("strict", 0, (const said[]){MEMINFO, {1, "2\n"}, {0, NULL}});
    seed_machine("v2", 0,
                 (const said[]){
                     MEMINFO,
                     V2,
                     {6, "5000000000\n"},
                     {7, "anon 4096\nshmem 10\n"},
                     {8, "4000000000\n"},
                     {9, "max\n"},
                     {10, "anon 1000000\nshmem 4096\nsock 0\nkernel 8192\nslab_reclaimable 4096\n"},
                     {11, "150000 100000\n"},
                     {0, NULL}});
    seed_machine(
        "v1", 0,
        (const said[]){
            MEMINFO,
            {2, "5:memory:/a\n4:cpu,cpuacct:/a\n"},
            {3, "31 20 0:27 / /sys/fs/cgroup/memory rw shared:9 - cgroup cgroup rw,memory\n"
                "32 20 0:28 / /sys/fs/cgroup/cpu rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n"},
            {12, "hierarchical_memory_limit 3000000000\ntotal_rss 5\ntotal_shmem 6\n"},
            {14, "250000\n"},
            {15, "100000\n"},
            {0, NULL}});
    seed_machine(
        "v1-old", 0,
        (const said[]){
            MEMINFO,
            {2, "5:memory:/\n"},
            {3, "31 20 0:27 /docker/\\134x /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"},
            {12, ""},
            {13, "9223372036854771712\n"},
            {0, NULL}});
    seed_machine("slurm", 0,
                 (const said[]){MEMINFO,
                                {16, "4096"},
                                {17, "1024"},
                                {18, "3"},
                                {4, "Name:\tx\nCpus_allowed_list:\t0-3,8\n"},
                                {0, NULL}});
    seed_machine("nonsense", 7,
                 (const said[]){{0, "MemTotal: -1 kB\nMemAvailable: 99999999999999999999 kB\n"},
                                {2, "::::\n0::/../..\n"},
                                {3, "1 2 3\n - cgroup2 \n"},
                                {0, NULL}});
}

int main(void)
{
    assert_int_equal(lort_codec_open(1, &codec, NULL), LORT_OK);
    fixture_build(&f);
    seed_containers();
    seed_faults();
    seed_retyped();
    seed_models();
    seed_frames();
    seed_records();
    seed_integers();
    seed_types();
    seed_planes();
    seed_machines();
    fixture_free(&f);
    lort_codec_close(codec);
    return 0;
}
