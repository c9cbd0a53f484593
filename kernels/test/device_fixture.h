/* device_fixture.h - what tests share that run an op through the tape on every backend that works
 * here, a GPU too. */
#pragma once
#include "kernels/core/backend.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
/* cmocka needs the headers above */
#include <cmocka.h>

/* The backend after `last` (NULL: the first) that runs here, opened; NULL at the end. */
static inline const backend *device_next(const backend *last) {
    static unsigned opened; /* a device can be opened once */
    int i = 0;
    while (last && backend_at(i++) != last)
        ;
    const backend *device;
    while ((device = backend_at(i)) && device->missing()) i++;
    error e = {0};
    if (device && !(opened >> i & 1))
        assert_int_equal(device->open(NULL, NUMERICS_STRICT, &e), STATUS_OK);
    opened |= 1u << i;
    return device;
}

/* A graph in memory of its own. */
typedef struct placed {
    const backend *device;
    graph *g;
    void *base, *param, *grad;
} placed;

static inline void placed_step(void *g) {
    graph_forward(g);
    graph_backward(g);
}

/* Plans g for training. Parameters and gradients are 0; all other tensors are NaN, as what is read
 * must have been written. */
static inline placed placed_new(arena *a, const backend *device, graph *g) {
    error e = {0};
    assert_int_equal(graph_plan(g, true, &e), STATUS_OK);
    const size_t bytes = graph_arena_bytes(g);
    placed p = {device, g, device->alloc(bytes, &e), device->alloc(graph_param_bytes(g), &e),
                device->alloc(graph_param_bytes(g), &e)};
    assert_int_equal(e.code, STATUS_OK);
    graph_bind(g, p.base, p.param, p.grad);
    assert_int_equal(device->reserve(device->measure(placed_step, g), &e), STATUS_OK);
    device->put(p.base, memset(arena_alloc(a, bytes), 0xff, bytes), bytes);
    return p;
}

/* After everything on the device went well. */
static inline void placed_free(placed *p) {
    error e = {0};
    assert_int_equal(p->device->sync(&e), STATUS_OK);
    p->device->release(p->base);
    p->device->release(p->param);
    p->device->release(p->grad);
}
