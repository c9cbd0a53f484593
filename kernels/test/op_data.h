/* op_data.h - the values of one test case: drawn once, the same for every backend. */
#pragma once
#include "kernels/core/backend.h"
#include "kernels/core/op.h"

enum { PACK = 3 }; /* runs of a drawn case */

/* Values of one case, drawn as doubles that are exact in float, so that all builds see the same. */
typedef struct op_data {
    int runs, n_in;
    struct {
        bool is_int, shared;
        bool flat;    /* segment-major by the seg table, the last input (see kernels.def) */
        long n;       /* elements over all runs */
        double *real; /* [n] or NULL; NaN where only the shape matters */
        int *ints;    /* [n] or NULL */
    } in[MAX_IN];
    long out_n;
    double *cotangent; /* [out_n]; gradient of the scalar that the checks differentiate */
} op_data;

/* Appends the node of a case to a graph of its own; its tensors have no memory yet. NULL and the
 * sentence in e when the op refuses the case. */
node *case_node(arena *a, const backend *b, enum op_id id, const op_case *c, int runs, error *e);
/* Whether backward computes the gradient of this input. */
bool has_gradient(const node *n, const op_case *c, int input);
/* Draws a case of the op's table with PACK runs; NULL as above. */
op_data *data_draw(arena *a, const backend *b, enum op_id id, int case_no, error *e);
/* The values of run r alone. */
op_data *data_slice(arena *a, const op_data *d, int r);
/* Place of element j of run r in a buffer of all runs; j counts within one run. */
long data_index(const op_data *d, int input, int r, long j);
/* Elements of one run; all of them for a shared input. */
long data_per_run(const op_data *d, int input);
