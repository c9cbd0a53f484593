/* op_shape.h - the sizes at which op_bench times the ops: one that fills a device and, where
 * launches could matter, a pack as sweeps train it. A new op needs a line; a test asks for it. */
#pragma once
#include "kernels/test/op_data.h"

/* Part of a comparison at one size: the yardstick is the last one before. */
typedef enum op_role { ALONE, YARDSTICK, COMPARED } op_role;

typedef struct op_shape {
    enum op_id id;
    int runs;
    op_case c; /* negative sizes and int values: smaller on a CPU */
    op_role role;
} op_shape;
extern const op_shape op_shapes[];
extern const int n_op_shapes;

/* A size or int value of the table on this device. */
double op_shape_scaled(double v, const backend *b);
/* The case with the sizes of this device. Its values are not scaled. */
op_case op_shape_case(const op_shape *s, const backend *b);
