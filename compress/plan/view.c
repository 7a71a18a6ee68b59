/* view: see view.h.
 *
 *     convolution [O, I, k...]   k all at most 16    O x (I k...)
 *     stack [E..., o, i]                             E matrices of o x i
 *     stack of small slices                          the larger smaller side of
 *                                                    (E... o) x i  and  E0 x (rest)
 */
#include "compress/plan/view.h"

/* Slices of fewer elements are small, whatever min_dim says. The record of a slice takes about as
 * many bytes as coding 1024 elements of 16 bits saves. */
#define LEAST_ELEMENTS 1024

static int64_t smaller_side(const lort_matrices *m)
{
    return m->rows < m->cols ? m->rows : m->cols;
}

/* One matrix for a stack of small slices. If both ways are as square, LoRT takes the one that needs
 * no flag in the container. A convolution has no types of blocks: its rows may cut them. */
static void take_whole(const lort_tensor *tensor, const lort_matrices *convolution, lort_view *view)
{
    view->shape = (lort_matrices){1, view->shape.slices * view->shape.rows, view->shape.cols};
    view->convolution =
        tensor->type->block_elements == 1 && smaller_side(convolution) > smaller_side(&view->shape);
    if (view->convolution)
        view->shape = *convolution;
}

lort_view lort_view_of(const lort_options *options, const lort_tensor *tensor)
{
    lort_view view = {.shape = lort_tensor_matrices(tensor)};
    view.small = smaller_side(&view.shape) < options->min_dim;
    if (tensor->n_dims < 3 || tensor->elements == 0)
        return view;
    const lort_matrices convolution = lort_dims_convolution(tensor->dims, tensor->n_dims);
    if (lort_tensor_is_convolution(tensor) && tensor->type->block_elements == 1 &&
        smaller_side(&convolution) >= options->min_dim)
        return (lort_view){.shape = convolution, .convolution = true};
    if (view.shape.slices > 1 && (view.small || view.shape.rows * view.shape.cols < LEAST_ELEMENTS))
        take_whole(tensor, &convolution, &view);
    return view;
}
