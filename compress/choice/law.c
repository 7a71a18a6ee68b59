/* law: see law.h. */
#include "compress/choice/law.h"
#include <math.h>

#define SIZE_EXPONENT 0.5
#define HEAD 16.0     /* the output head */
#define TIED_HEAD 8.0 /* an embedding that is the output head, too */
#define EMBEDDING 4.0

static double weight_of(const lort_law_model *model, lort_use use)
{
    if (use == LORT_USE_OUTPUT)
        return HEAD;
    if (use == LORT_USE_TOKEN_EMBD)
        return model->tied ? TIED_HEAD : EMBEDDING;
    return 1;
}

double lort_law_cost(const lort_law_model *model, lort_use use, int64_t layer, double elements,
                     double error2)
{
    (void)layer;
    return weight_of(model, use) * error2 * pow(elements, SIZE_EXPONENT);
}
