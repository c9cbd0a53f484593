/* op_trial.h - one op run once on one backend, in guarded memory.
 *
 * A trial builds its node with graph_apply, so the shape rule is exercised, but binds every tensor
 * to a buffer of its own: surrounded by redzones, and shifted off the cache line, as parameters and
 * the later runs of a pack are in real tapes. Results stay in the buffers for the checks to read.
 *
 * All buffers of a trial are one block of device memory, so that a device is asked for memory once
 * and copies once. Checks read the host's view of it: on a CPU the block itself, elsewhere a mirror
 * that is fetched, redzones and all, when the kernels are done. */
#pragma once
#include "op_data.h"

/* emu_op_test is built with EMULATED: the devices under test are the emulator's. */
#ifdef EMULATED
enum { IS_EMULATED = 1 };
#else
enum { IS_EMULATED = 0 };
#endif

typedef struct guarded {
    const char *name; /* "input", "gradient of input", "output", "aux", "work" */
    int input;        /* which input, -1: not one */
    bool is_int;
    size_t item, bytes; /* bytes of one element, of all */
    long n;
    size_t at, data_at;  /* redzone before and data: bytes from the start of the block */
    unsigned char *base; /* redzone, data, redzone, as the host sees them */
    void *data;          /* the same for data; NULL: the op has no such buffer */
    void *device;        /* where kernels find it */
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
    guarded *all[2 * MAX_IN + 4]; /* those of them that exist */
    int n_all;
    size_t bytes;                 /* of the block */
    unsigned char *host, *device; /* the block, as the host sees it and where it is */
    struct trial *next;           /* for lists of whoever owns it */
} trial;

/* A CPU build: tensors may be read and written in place. */
bool memory_is_host(const backend *b);

/* b must be open. The trial lives in the arena; its block of device memory until trial_free. */
trial *trial_new(arena *a, const backend *b, enum op_id id, int case_no, const op_data *d,
                 trial_way way);
void trial_free(trial *t);
void trial_forward(trial *t);
/* What a training step does with the node: forward (not of a root), then backward (if any). */
void trial_train(trial *t);
/* NULL, or half a sentence: a redzone or a buffer that is only read was written. */
const char *trial_damage(const trial *t);

double guarded_get(const guarded *b, long i);
/* Moves one element of a trial on a CPU, whose block is the host's view. */
void guarded_put(guarded *b, long i, double value);
