/* components: reads the file that makes the folders of a directory one model: model_index.json of
 * diffusers, or modules.json of sentence-transformers. The JSON is untrusted. */
#ifndef LORT_FORMATS_INPUTS_COMPONENTS_H
#define LORT_FORMATS_INPUTS_COMPONENTS_H

#include "formats/base/error.h"
#include <stdbool.h>
#include <stdint.h>

typedef enum lort_components_form {
    /* {"unet": ["diffusers", "UNet2DConditionModel"], ...}; a component that is off has nulls */
    LORT_COMPONENTS_INDEX,
    /* [{"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}, ...] */
    LORT_COMPONENTS_MODULES
} lort_components_form;

/* Takes the path of a folder as the file has it: any text, without a NUL. bare: the component has
 * no file, so its folder may lack (Normalize). */
typedef void lort_component_fn(void *ctx, const char *path, bool bare);

/* Calls `each` for every folder that the file names. data: `size` bytes. On failure: LORT_E_INPUT;
 * `each` may have been called before. */
lort_code lort_components_parse(lort_components_form form, const void *data, uint64_t size,
                                lort_component_fn *each, void *ctx, lort_error *err);

#endif
