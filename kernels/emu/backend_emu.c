/* backend_emu.c - see backend_emu.h. */
#include "backend_emu.h"

#include "kernels/cuda/launch.h"

#include <stdlib.h>
#include <string.h>

extern const op *const ops_f32[N_OP];
extern const kernels kernels_emu;
extern int emu_order; /* of cuda_emu.h */

enum { MAX_TAKEN = 64, ALIGN = 256 };

static struct {
    void *taken[MAX_TAKEN]; /* scratch, a block of its own each, so that overruns show */
    size_t n_taken;
    bool measuring;
    size_t now, peak; /* bytes, in a measuring pass */
    size_t size[MAX_TAKEN];
} device;

bool launch_begin(const char *kernel) {
    (void)kernel;
    return !device.measuring;
}
void launch_end(const char *kernel) { (void)kernel; }
void *launch_stream(void) { return NULL; }

void *launch_take(size_t bytes) {
    bytes = (bytes + ALIGN - 1) / ALIGN * ALIGN;
    CHECK(device.n_taken < MAX_TAKEN);
    device.size[device.n_taken] = bytes;
    if (device.measuring) {
        device.now += bytes;
        if (device.now > device.peak) device.peak = device.now;
        device.taken[device.n_taken++] = NULL;
        return (void *)ALIGN;
    }
    void *p = aligned_alloc(ALIGN, bytes ? bytes : ALIGN);
    if (!p) BUG("no memory for %zu bytes of scratch", bytes);
    memset(p, 0xFF, bytes);
    return device.taken[device.n_taken++] = p;
}

size_t launch_mark(void) { return device.n_taken; }

void launch_drop(size_t mark) {
    while (device.n_taken > mark) {
        free(device.taken[--device.n_taken]);
        if (device.measuring) device.now -= device.size[device.n_taken];
    }
}

bool launch_blas(const product *p) {
    (void)p;
    return false;
}

static const char *emu_missing(void) { return NULL; }
static int emu_devices(device_info *out, int most) {
    return backend_find("f64", &(error){0})->devices(out, most);
}

static status open_order(int order) {
    emu_order = order;
    return STATUS_OK;
}
static status open_lockstep(const char *d, numerics n, error *e) {
    (void)d, (void)n, (void)e;
    return open_order(0);
}
static status open_forward(const char *d, numerics n, error *e) {
    (void)d, (void)n, (void)e;
    return open_order(1);
}
static status open_reverse(const char *d, numerics n, error *e) {
    (void)d, (void)n, (void)e;
    return open_order(2);
}

static void *emu_alloc(size_t bytes, error *e) {
    void *p = aligned_alloc(64, (bytes + 64) / 64 * 64);
    if (!p) {
        error_set(e, STATUS_ENVIRONMENT, "out of memory: could not get %zu bytes.", bytes);
        return NULL;
    }
    return memset(p, 0, (bytes + 64) / 64 * 64);
}

static void emu_copy(void *to, const void *from, size_t bytes) { memcpy(to, from, bytes); }
static void emu_zero(void *p, size_t bytes) { memset(p, 0, bytes); }
static void emu_mark(int i) { (void)i; }
static void emu_replay(recording **r, void (*body)(void *), void *context) {
    (void)r;
    body(context);
}
static void emu_forget(recording *r) { (void)r; }

static size_t emu_measure(void (*body)(void *), void *context) {
    device.measuring = true;
    device.now = device.peak = 0;
    body(context);
    device.measuring = false;
    return device.peak;
}

static status emu_reserve(size_t bytes, error *e) {
    (void)bytes, (void)e;
    return STATUS_OK;
}
static status emu_sync(error *e) {
    (void)e;
    return STATUS_OK;
}

#define EMU(its_name, its_open)                                                                    \
    {                                                                                              \
        .name = its_name, .summary = "emulated GPU", .real_bytes = sizeof(float),                  \
        .tape_bytes = 1 << 20, .lanes = 1, .ops = ops_f32, .kernels = &kernels_emu,                \
        .missing = emu_missing, .devices = emu_devices, .open = its_open, .alloc = emu_alloc,      \
        .release = free, .alloc_host = emu_alloc, .release_host = free, .put = emu_copy,           \
        .get = emu_copy, .zero = emu_zero, .mark = emu_mark, .await = emu_mark,                    \
        .replay = emu_replay, .forget = emu_forget, .measure = emu_measure,                        \
        .reserve = emu_reserve, .sync = emu_sync                                                   \
    }

const backend backend_emu[3] = {EMU("emu", open_lockstep), EMU("emu-forward", open_forward),
                                EMU("emu-reverse", open_reverse)};
