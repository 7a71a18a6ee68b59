/* quantised: see quantised.h. Four passes over the tensors: list the modules of packed tensors,
 * list packed tensors by name, look for companions, mark. */
#include "compress/plan/quantised.h"
#include "formats/base/names.h"
#include "formats/base/text.h"
#include <string.h>

#define DOTS_MOST 4      /* parts behind the name of a packed tensor, in names of companions */
#define COMPANION_RATE 8 /* elements of a companion, per byte of the packed tensor */

typedef struct module {
    uint64_t bytes, cols; /* of its largest packed tensor */
    uint32_t integers;    /* packed tensors that are no F8 */
    bool companion;       /* it has a companion */
    bool config;          /* the configuration says that it is quantised */
} module;

/* How the method is told without a configuration. */
enum {
    HINT_BITSANDBYTES = 1,
    HINT_GPTQ = 2,
    HINT_AWQ = 4,
    HINT_COMPRESSED = 8,
    HINT_MXFP4 = 16,
    HINT_NVFP4 = 32,
    HINT_MLX = 64,
    HINT_FP8 = 128
};

typedef struct finder {
    const lort_index *index;
    const lort_facts *facts;
    lort_names modules, packed; /* to numbers of modules; to numbers of tensors */
    module *list;
    uint64_t room;
    uint8_t *marks;
    unsigned hints;
} finder;

/* A module to which a tensor may belong. */
typedef struct owner {
    module *module;
    uint64_t bytes; /* of the packed tensor */
    bool below;     /* the tensor lies in a module below */
} owner;
enum { OWNERS_MOST = 3 + DOTS_MOST };

/* ---- names ---- */

/* The bytes of the name up to dot number `dots`, counted from the end. 0: there is none. */
static uint32_t prefix_bytes(const lort_tensor *tensor, unsigned dots)
{
    uint32_t n = tensor->name_bytes;
    while (n > 0 && (tensor->name[n - 1] != '.' || --dots > 0))
        n--;
    return n ? n - 1 : 0;
}

static bool ends_with(const lort_tensor *tensor, const char *end)
{
    return lort_text_ends_in(tensor->name, tensor->name_bytes, end);
}

/* The bytes of x in x_blocks, x_scales and x_bias; 0: the name has another form. */
static uint32_t stem_bytes(const lort_tensor *tensor)
{
    static const char *const endings[] = {"_blocks", "_scales", "_bias"};
    for (unsigned i = 0; i < sizeof endings / sizeof *endings; i++)
        if (ends_with(tensor, endings[i]))
            return tensor->name_bytes - (uint32_t)strlen(endings[i]);
    return 0;
}

static bool is_last(const lort_tensor *tensor, const char *part)
{
    const uint32_t n = prefix_bytes(tensor, 1);
    const char *last = n || tensor->name[0] == '.' ? tensor->name + n + 1 : tensor->name;
    return strcmp(last, part) == 0;
}

/* The bias of a layer says nothing of its weight. */
static bool is_bias(const lort_tensor *tensor)
{
    return is_last(tensor, "bias") || ends_with(tensor, "_bias");
}

/* ---- types ---- */

static bool is_weight_f8(const lort_tensor *tensor)
{
    return tensor->type->kind == LORT_KIND_F8 && tensor->type->id != LORT_F8_E8M0;
}

/* One row of I32 or I16 is a list, such as position ids. */
static bool is_packed_integer(const lort_tensor *tensor)
{
    switch (tensor->type->id) {
    case LORT_I16:
    case LORT_I32:
        return tensor->elements > (uint64_t)tensor->dims[tensor->n_dims - 1];
    case LORT_U8:
    case LORT_I8:
    case LORT_U16:
    case LORT_U32:
    case LORT_F4:
    case LORT_F6_E2M3:
    case LORT_F6_E3M2:
        return true;
    default:
        return false;
    }
}

static bool may_be_packed(const finder *f, uint64_t i)
{
    const lort_tensor *tensor = &f->index->tensors[i];
    return f->marks[i] == LORT_MARK_NONE && tensor->n_dims >= 2 && tensor->elements > 0 &&
           (is_weight_f8(tensor) || is_packed_integer(tensor));
}

/* ---- lists ---- */

static lort_code add_module(finder *f, const char *name, uint32_t bytes, uint32_t *number,
                            lort_error *err)
{
    bool is_new;
    if (f->modules.used == f->room) {
        const uint64_t room = f->room ? 2 * f->room : 64;
        void *memory;
        lort_code code = lort_take_zero(f->modules.alloc, room * sizeof *f->list,
                                        "a list of modules", &memory, err);
        if (code)
            return code;
        if (f->room)
            memcpy(memory, f->list, f->room * sizeof *f->list);
        lort_give(f->modules.alloc, f->list, f->room * sizeof *f->list);
        f->list = memory;
        f->room = room;
    }
    lort_code code =
        lort_names_add(&f->modules, name, bytes, (uint32_t)f->modules.used, &is_new, number, err);
    if (code == LORT_OK && is_new && f->facts->quantised)
        f->list[*number].config = !lort_facts_spare(f->facts, name, bytes);
    return code;
}

/* True for a name that is the last part of names of quantised modules, and nothing else. All of
 * these together are the module without a name. */
static bool is_bare(const lort_tensor *tensor)
{
    static const char *const parts[] = {"weight",
                                        "qweight",
                                        "weight_packed",
                                        "scales",
                                        "biases",
                                        "qzeros",
                                        "zeros",
                                        "g_idx",
                                        "scale",
                                        "weight_scale",
                                        "weight_scale_2",
                                        "weight_scale_inv",
                                        "weight_shape",
                                        "weight_g_idx",
                                        "scale_weight",
                                        "scale_input",
                                        "weight_zero_point",
                                        "input_scale",
                                        "absmax",
                                        "quant_map",
                                        "SCB"};
    for (unsigned i = 0; i < sizeof parts / sizeof *parts; i++)
        if (strcmp(tensor->name, parts[i]) == 0)
            return true;
    return false;
}

/* The bytes of the name of a packed tensor's module. Another name without a dot is a module of its
 * own: the others without a dot have nothing to do with it. */
static uint32_t module_bytes(const lort_tensor *tensor)
{
    const uint32_t stem = stem_bytes(tensor), prefix = prefix_bytes(tensor, 1);
    return stem ? stem : prefix ? prefix : is_bare(tensor) ? 0 : tensor->name_bytes;
}

static lort_code list_packed(finder *f, uint64_t i, lort_error *err)
{
    const lort_tensor *tensor = &f->index->tensors[i];
    uint32_t number, found;
    bool is_new;
    if (!may_be_packed(f, i))
        return LORT_OK;
    lort_code code = add_module(f, tensor->name, module_bytes(tensor), &number, err);
    if (code)
        return code;
    module *m = &f->list[number];
    m->integers += !is_weight_f8(tensor);
    if (tensor->bytes > m->bytes) {
        m->bytes = tensor->bytes;
        m->cols = (uint64_t)tensor->dims[tensor->n_dims - 1];
    }
    return lort_names_add(&f->packed, tensor->name, tensor->name_bytes, (uint32_t)i, &is_new,
                          &found, err);
}

static module *find_module(const finder *f, const char *name, uint32_t bytes)
{
    const lort_names_slot *slot = lort_names_find(&f->modules, name, bytes);
    return slot ? &f->list[slot->value] : NULL;
}

static unsigned find_owners(const finder *f, const lort_tensor *tensor, owner *out)
{
    unsigned count = 0;
    const uint32_t stem = stem_bytes(tensor), near = prefix_bytes(tensor, 1),
                   far = prefix_bytes(tensor, 2);
    module *m = near || is_bare(tensor) ? find_module(f, tensor->name, near) : NULL;
    if (m)
        out[count++] = (owner){m, m->bytes, false};
    m = stem ? find_module(f, tensor->name, stem) : NULL;
    if (m)
        out[count++] = (owner){m, m->bytes, false};
    m = far ? find_module(f, tensor->name, far) : NULL;
    if (m && m->config)
        out[count++] = (owner){m, m->bytes, true};
    for (unsigned dots = 1; dots <= DOTS_MOST; dots++) {
        const uint32_t n = prefix_bytes(tensor, dots);
        const lort_names_slot *slot = n ? lort_names_find(&f->packed, tensor->name, n) : NULL;
        if (!slot)
            continue;
        const lort_tensor *packed = &f->index->tensors[slot->value];
        m = find_module(f, packed->name, module_bytes(packed)); /* listed with it */
        out[count++] = (owner){m, packed->bytes, false};
    }
    return count;
}

/* ---- companions ---- */

static bool is_small(const lort_tensor *tensor, uint64_t bytes)
{
    return tensor->elements / COMPANION_RATE <= bytes &&
           (tensor->elements / COMPANION_RATE < bytes || tensor->elements % COMPANION_RATE == 0);
}

/* True if the tensor shows that the packed tensors of the module have companions. */
static bool shows_companion(const finder *f, uint64_t i, const owner *by)
{
    const lort_tensor *tensor = &f->index->tensors[i];
    const module *m = by->module;
    if (by->below || is_bias(tensor) || !is_small(tensor, by->bytes))
        return false;
    if (tensor->type->kind == LORT_KIND_FLOAT || tensor->type->id == LORT_F8_E8M0)
        return true;
    if (is_weight_f8(tensor))
        return m->integers > 0;
    return may_be_packed(f, i) && m->integers > 1;
}

static unsigned hint_of(const lort_tensor *tensor, const module *m)
{
    static const struct {
        const char *last;
        unsigned hint;
    } hints[] = {{"absmax", HINT_BITSANDBYTES},
                 {"quant_map", HINT_BITSANDBYTES},
                 {"SCB", HINT_BITSANDBYTES},
                 {"g_idx", HINT_GPTQ},
                 {"weight_shape", HINT_COMPRESSED},
                 {"weight_scale_2", HINT_NVFP4},
                 {"biases", HINT_MLX}};
    for (unsigned i = 0; i < sizeof hints / sizeof *hints; i++)
        if (is_last(tensor, hints[i].last))
            return hints[i].hint;
    if (is_last(tensor, "weight_packed"))
        return HINT_COMPRESSED;
    if (ends_with(tensor, "_blocks"))
        return HINT_MXFP4;
    if (is_weight_f8(tensor))
        return m->integers ? 0 : HINT_FP8;
    if (is_last(tensor, "scales") && tensor->n_dims == 2 && m->cols)
        return m->cols == (uint64_t)tensor->dims[1]       ? HINT_GPTQ
               : m->cols * 8 == (uint64_t)tensor->dims[1] ? HINT_AWQ
                                                          : 0;
    return 0;
}

static const char *method_of(unsigned hints)
{
    static const struct {
        unsigned hint;
        const char *method;
    } methods[] = {{HINT_BITSANDBYTES, "bitsandbytes"},
                   {HINT_COMPRESSED, "compressed-tensors"},
                   {HINT_MLX, "mlx"},
                   {HINT_GPTQ, "gptq"},
                   {HINT_AWQ, "awq"},
                   {HINT_MXFP4, "mxfp4"},
                   {HINT_NVFP4, "nvfp4"},
                   {HINT_FP8, "fp8"}};
    for (unsigned i = 0; i < sizeof methods / sizeof *methods; i++)
        if (hints & methods[i].hint)
            return methods[i].method;
    return "";
}

static void seek_companion(finder *f, uint64_t i)
{
    owner by[OWNERS_MOST];
    const unsigned count =
        f->marks[i] == LORT_MARK_NONE ? find_owners(f, &f->index->tensors[i], by) : 0;
    for (unsigned k = 0; k < count; k++)
        by[k].module->companion |= shows_companion(f, i, &by[k]);
}

static void mark_tensor(finder *f, uint64_t i)
{
    owner by[OWNERS_MOST];
    const lort_tensor *tensor = &f->index->tensors[i];
    const unsigned count = f->marks[i] == LORT_MARK_NONE ? find_owners(f, tensor, by) : 0;
    const bool packed = count && may_be_packed(f, i);
    for (unsigned k = 0; k < count; k++) {
        const module *m = by[k].module;
        const bool fits = (m->config && !by[k].below) || is_small(tensor, by[k].bytes);
        if (!fits || !(m->companion || m->config))
            continue;
        f->marks[i] = packed ? LORT_MARK_PACKED : LORT_MARK_COMPANION;
        f->hints |= hint_of(tensor, m);
        return;
    }
}

lort_code lort_quantised_mark(const lort_index *index, const lort_facts *facts,
                              const lort_alloc *alloc, uint8_t *marks, const char **method,
                              lort_error *err)
{
    finder f = {.index = index,
                .facts = facts,
                .modules = {.alloc = alloc},
                .packed = {.alloc = alloc},
                .marks = marks};
    lort_code code = LORT_OK;
    for (uint64_t i = 0; i < index->count && code == LORT_OK; i++)
        code = list_packed(&f, i, err);
    for (uint64_t i = 0; i < index->count && code == LORT_OK && f.modules.used; i++)
        seek_companion(&f, i);
    for (uint64_t i = 0; i < index->count && code == LORT_OK && f.modules.used; i++)
        mark_tensor(&f, i);
    *method = method_of(f.hints);
    lort_give(alloc, f.list, f.room * sizeof *f.list);
    lort_names_free(&f.modules);
    lort_names_free(&f.packed);
    return code;
}
