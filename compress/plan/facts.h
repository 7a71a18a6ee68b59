/* facts: what the JSON files beside the weights say that a plan needs: the method of quantisation,
 * the modules that it spared, and numbers of experts. All of it is untrusted. */
#ifndef LORT_COMPRESS_PLAN_FACTS_H
#define LORT_COMPRESS_PLAN_FACTS_H

#include "compress/session/session.h"
#include "formats/base/names.h"
#include "loader/model/model.h"

#define LORT_FACTS_EXPERTS 8 /* different numbers of experts that count */

typedef struct lort_facts {
    bool quantised;  /* a file has a quantization_config or the like */
    char method[40]; /* such as "gptq"; "": not known */
    /* Names of modules that are not quantised, each with a NUL behind it. */
    lort_buffer spared;
    lort_names names;                     /* the same as a set; views into `spared` */
    uint64_t experts[LORT_FACTS_EXPERTS]; /* each from 2 on */
    unsigned expert_count;
} lort_facts;

/* Reads the side files of the model, and the metadata of GGUF. A file that is no JSON gives a
 * warning. On failure: LORT_E_READ or LORT_E_MEMORY; *facts is then empty. */
lort_code lort_facts_read(lort_session *session, lort_model *model, lort_facts *facts,
                          lort_error *err);
/* True if the name of a spared module is one or more whole parts of the module's name, which is
 * the first `bytes` bytes of `name`. */
bool lort_facts_spare(const lort_facts *facts, const char *name, uint32_t bytes);
void lort_facts_free(lort_facts *facts);

/* Reads one JSON text into *facts. `name`: the file's, without directories. facts->spared has an
 * allocator. On failure: LORT_E_INPUT for no JSON; what was read so far counts. */
lort_code lort_facts_parse(const char *name, const void *text, uint64_t bytes, lort_facts *facts,
                           lort_error *err);
/* Lists the names of spared modules in facts->names. No text is parsed into *facts afterwards. On
 * failure: LORT_E_MEMORY. */
lort_code lort_facts_list(lort_facts *facts, lort_error *err);

#endif
