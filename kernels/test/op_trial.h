/* op_trial.h - one op run once on one backend, in guarded memory.
 *
 * A trial builds its node with graph_apply, so the shape rule is exercised, but binds every tensor
 * to a buffer of its own: surrounded by redzones, and shifted off the cache line, as parameters and
 * the later runs of a pack are in real tapes. Results stay in the buffers for the checks to read.
 */
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
        double *real; /* [n] or NULL */
        int *ints;    /* [n] or NULL */
    } in[MAX_IN];
    long out_n;
    double *cotangent; /* [out_n]; gradient of the scalar that the checks differentiate */
} op_data;

typedef struct guarded {
    const char *name; /* "input", "gradient of input", "output", "aux", "work" */
    int input;        /* which input, -1: not one */
    bool is_int;
    size_t item, bytes; /* bytes of one element, of all */
    long n;
    unsigned char *base; /* redzone, data, redzone */
    void *data;          /* NULL: the op has no such buffer */
    void *copy;          /* what data must still hold at the end, or NULL */
} guarded;

typedef struct trial_way {
    unsigned char fill; /* byte that outputs, aux and work are filled with before */
    int shift;          /* elements between a cache line and the data */
    unsigned no_dx;     /* READS_IN(i): the gradient pointer of input i is NULL */
    double preset;      /* value of gradients before backward */
    bool hide;          /* overwrite what backward does not declare to read before it runs */
} trial_way;

enum { FILL_NAN = 0xFF, FILL_HUGE = 0x7F }; /* as int -1 and 2139062143; as float NaN and 3e38 */

typedef struct trial {
    arena *arena;
    const backend *backend;
    const op *op;
    node *node;
    trial_way way;
    guarded x[MAX_IN], g[MAX_IN], out, dout, aux, work;
} trial;

/* Draws the case with PACK runs; NULL and the sentence in e when the op refuses its own case. */
op_data *data_draw(arena *a, const backend *b, enum op_id id, int case_no, error *e);
/* The values of run r alone. */
op_data *data_slice(arena *a, const op_data *d, int r);
/* Place of element j of run r in a buffer of all runs; j counts within one run. */
long data_index(const op_data *d, int input, int r, long j);
/* Elements of one run; all of them for a shared input. */
long data_per_run(const op_data *d, int input);

bool has_gradient(const op *o, int case_no, const op_data *d, int input);

trial *trial_new(arena *a, const backend *b, enum op_id id, int case_no, const op_data *d,
                 trial_way way);
void trial_forward(trial *t);
/* What a training step does with the node: forward (not of a root), then backward (if any). */
void trial_train(trial *t);
/* NULL, or half a sentence: a redzone or a buffer that is only read was written. */
const char *trial_damage(const trial *t);

double guarded_get(const guarded *b, long i);
void guarded_put(guarded *b, long i, double value);
