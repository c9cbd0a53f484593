/* backend_emu.c - see backend_emu.h. */
#include "backend_emu.h"

#include "emu_grid.h"
#include "emu_memory.h"
#include "emu_queue.h"
#include "kernels/cuda/launch.h"

#include <stdlib.h>
#include <string.h>

extern const op *const ops_f32[N_OP];
extern const kernels kernels_emu;

enum { MAX_TAKEN = 64, MAX_HOST = 64, ALIGN = 256, N_DEVICE = 2 };
static const size_t DEVICE_BYTES = 1 << 30;

typedef struct span {
    void *at;
    size_t bytes;
} span;

static struct {
    bool open, exposed, measuring;
    int index;             /* of the device that is open */
    span taken[MAX_TAKEN]; /* scratch, a block of its own each, so that overruns show */
    size_t n_taken, taken_bytes, peak_bytes;
    size_t reserved_bytes;
    bool is_reserved;
    span host[MAX_HOST]; /* of alloc_host */
    size_t n_host;
} device;

/* What may not be done while a recording is made: CUDA refuses it in a capture. */
static void check_not_recording(const char *what) {
    if (queue_records()) BUG("%s while a recording is made", what);
}

/* ---- what launchers ask for -------------------------------------------------------------- */

bool launch_begin(const char *kernel) {
    (void)kernel;
    return !device.measuring;
}
void launch_end(const char *kernel) { (void)kernel; }
void *launch_stream(void) { return NULL; }

/* Scratch is filled when its turn in the queue comes, and spoiled when the turn of its drop does;
 * in a recording both happen in each repetition. */
typedef struct scratch_job {
    job queued;
    span block;
} scratch_job;

static void taken_run(job *j) {
    const span s = ((scratch_job *)(void *)j)->block;
    scratch_fill(s.at, s.bytes);
}

static void taken_end(job *j) { free(j); }

static void dropped_run(job *j) {
    const span s = ((scratch_job *)(void *)j)->block;
    scratch_spoil(s.at, s.bytes);
}

static void dropped_end(job *j) {
    const span s = ((scratch_job *)(void *)j)->block;
    scratch_release(s.at, s.bytes);
    free(j);
}

static void add_scratch_job(void (*run)(job *), void (*end)(job *), span block) {
    scratch_job *s = malloc(sizeof *s);
    if (!s) BUG("no memory for a job");
    *s = (scratch_job){{run, end}, block};
    queue_add(&s->queued);
}

static size_t on_device(size_t bytes) { return (bytes + ALIGN - 1) / ALIGN * ALIGN; }

void *launch_take(size_t bytes) {
    if (device.n_taken == MAX_TAKEN) BUG("kernels hold more than %d blocks of scratch", MAX_TAKEN);
    span *s = &device.taken[device.n_taken++];
    *s = (span){(void *)ALIGN, bytes};
    device.taken_bytes += on_device(bytes);
    if (device.taken_bytes > device.peak_bytes) device.peak_bytes = device.taken_bytes;
    if (device.measuring) return s->at;
    if (device.is_reserved && device.taken_bytes > device.reserved_bytes)
        BUG("kernels take %zu bytes of scratch, but %zu are reserved", device.taken_bytes,
            device.reserved_bytes);
    s->at = scratch_alloc(bytes);
    add_scratch_job(taken_run, taken_end, *s);
    return s->at;
}

size_t launch_mark(void) { return device.n_taken; }

void launch_drop(size_t mark) {
    while (device.n_taken > mark) {
        const span s = device.taken[--device.n_taken];
        device.taken_bytes -= on_device(s.bytes);
        if (device.measuring) continue;
        scratch_drop(s.at);
        add_scratch_job(dropped_run, dropped_end, s);
    }
}

bool launch_blas(const product *p) {
    (void)p;
    return false;
}

/* ---- the device -------------------------------------------------------------------------- */

/* The kernels are compiled with fma, as products and sums are fused on a GPU, too. */
static const char *emu_missing(void) {
    const bool has = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    return has ? NULL : "this processor lacks AVX2 or FMA";
}

static void device_id(char *out, size_t n, int i) { snprintf(out, n, "emu-%d", i); }

static int emu_devices(device_info *out, int most) {
    int n = 0;
    for (; n < N_DEVICE && n < most; n++) {
        const size_t used = device.open && n == device.index ? memory_used() : 0;
        out[n] = (device_info){.name = "emulated GPU",
                               .mem_bytes = (double)DEVICE_BYTES,
                               .mem_free_bytes = (double)(DEVICE_BYTES - used)};
        device_id(out[n].id, sizeof out[n].id, n);
    }
    return n;
}

static int device_index(const char *name) { /* -1: there is none */
    for (int i = 0; i < N_DEVICE; i++) {
        char id[64], number[16];
        device_id(id, sizeof id, i);
        snprintf(number, sizeof number, "%d", i);
        if (!name || !strcmp(name, id) || !strcmp(name, number)) return i;
    }
    return -1;
}

static status open_order(int order, const char *name, numerics n, error *e) {
    check_not_recording("open");
    const int index = device_index(name);
    if (index < 0)
        return error_set(e, STATUS_ENVIRONMENT,
                         "there is no emulated device %s; there are emu-0 and emu-1.", name);
    if (n != NUMERICS_STRICT)
        return error_set(e, STATUS_ENVIRONMENT,
                         "train.numerics: the emulator has no cuBLAS and computes strict.");
    if (emu_missing())
        return error_set(e, STATUS_ENVIRONMENT, "the emulator cannot be used: %s.", emu_missing());
    device.open = true;
    device.index = index;
    grid_order(order);
    memory_protect(!device.exposed);
    queue_eager(device.exposed);
    return STATUS_OK;
}

static status open_lockstep(const char *name, numerics n, error *e) {
    return open_order(EMU_LOCKSTEP, name, n, e);
}
static status open_forward(const char *name, numerics n, error *e) {
    return open_order(EMU_FORWARD, name, n, e);
}
static status open_reverse(const char *name, numerics n, error *e) {
    return open_order(EMU_REVERSE, name, n, e);
}

void emu_expose(bool on) {
    device.exposed = on;
    queue_eager(on || !device.open);
    memory_protect(device.open && !on);
}

static void *emu_alloc(size_t bytes, error *e) {
    check_not_recording("alloc");
    if (!device.open) BUG("alloc before open");
    void *p = bytes <= DEVICE_BYTES - memory_used() ? memory_alloc(bytes) : NULL;
    if (!p)
        error_set(e, STATUS_ENVIRONMENT,
                  "out of memory: could not get %.1f MiB of emulated device memory, %.1f MiB are "
                  "free; make the model, the batch or the pack smaller.",
                  (double)bytes / 0x1p20, (double)(DEVICE_BYTES - memory_used()) / 0x1p20);
    return p;
}

static void emu_release(void *p) {
    check_not_recording("release");
    queue_drain();
    memory_release(p);
}

/* ---- host memory that may be read and written late --------------------------------------- */

static void *emu_alloc_host(size_t bytes, error *e) {
    check_not_recording("alloc_host");
    if (device.n_host == MAX_HOST) BUG("more than %d blocks of alloc_host", MAX_HOST);
    void *p = calloc(1, bytes ? bytes : 1);
    if (p) device.host[device.n_host++] = (span){p, bytes};
    if (!p) error_set(e, STATUS_ENVIRONMENT, "out of memory: could not get %zu bytes.", bytes);
    return p;
}

static void emu_release_host(void *p) {
    check_not_recording("release_host");
    queue_drain();
    for (size_t i = 0; i < device.n_host && p; i++) {
        if (device.host[i].at != p) continue;
        device.host[i] = device.host[--device.n_host];
        free(p);
        return;
    }
    if (p) BUG("release_host of memory that is not from alloc_host");
}

static bool is_late(const void *host, size_t bytes) {
    for (size_t i = 0; i < device.n_host; i++) {
        const char *from = device.host[i].at, *p = host;
        if (p >= from && p + bytes <= from + device.host[i].bytes) return true;
    }
    return false;
}

/* ---- copies ------------------------------------------------------------------------------ */

typedef struct copy_job {
    job queued;
    void *to;
    const void *from; /* NULL: zeros */
    size_t bytes;
} copy_job;

static void copy(const copy_job *c) {
    if (c->from)
        memcpy(c->to, c->from, c->bytes);
    else
        memset(c->to, 0, c->bytes);
}

static void copy_run(job *j) { copy((const copy_job *)(void *)j); }
static void copy_end(job *j) { free(j); }

static void queue_copy(copy_job c) {
    copy_job *queued = malloc(sizeof *queued);
    if (!queued) BUG("no memory for a job");
    *queued = c;
    queue_add(&queued->queued);
}

static void check_device(const char *what, const void *p, size_t bytes) {
    if (memory_protected() && !memory_holds(p, bytes))
        BUG("%s of %zu bytes at %p, which are not within one block of device memory", what, bytes,
            p);
}

/* Later, if the host's side is from alloc_host; else now. */
static void copy_between(const char *what, copy_job c, const void *on_host, const void *on_gpu) {
    if (device.measuring || !c.bytes) return;
    check_device(what, on_gpu, c.bytes);
    if (memory_protected() && memory_holds(on_host, 0))
        BUG("%s: its host side is in device memory", what);
    if (is_late(on_host, c.bytes)) {
        queue_copy(c);
        return;
    }
    if (queue_records())
        BUG("%s while a recording is made, with host memory that is not from alloc_host", what);
    queue_drain();
    memory_unlock_part(on_gpu, c.bytes);
    copy(&c);
    memory_lock_part(on_gpu, c.bytes);
}

static void emu_put(void *to, const void *host, size_t bytes) {
    copy_between("put", (copy_job){{copy_run, copy_end}, to, host, bytes}, host, to);
}

static void emu_get(void *host, const void *from, size_t bytes) {
    copy_between("get", (copy_job){{copy_run, copy_end}, host, from, bytes}, host, from);
}

static void emu_zero(void *p, size_t bytes) {
    if (device.measuring || !bytes) return;
    check_device("zero", p, bytes);
    queue_copy((copy_job){{copy_run, copy_end}, p, NULL, bytes});
}

/* ---- order and recordings ---------------------------------------------------------------- */

static void emu_mark(int i) {
    check_not_recording("mark");
    queue_mark(i);
}

static void emu_await(int i) {
    check_not_recording("await");
    queue_await(i);
}

static status emu_sync(error *e) {
    (void)e;
    check_not_recording("sync");
    queue_drain();
    return STATUS_OK;
}

struct recording {
    job_list *jobs; /* NULL: the body ran once */
};

static void emu_replay(recording **r, void (*body)(void *), void *context) {
    check_not_recording("replay");
    if (device.measuring || !*r) {
        body(context);
        if (device.measuring) return;
        *r = calloc(1, sizeof **r);
        if (!*r) BUG("no memory for a recording");
        return;
    }
    if (!(*r)->jobs) {
        (*r)->jobs = queue_record_begin();
        body(context);
        queue_record_end();
    }
    queue_repeat((*r)->jobs);
}

static void emu_forget(recording *r) {
    check_not_recording("forget");
    if (r && r->jobs) queue_forget(r->jobs);
    free(r);
}

static size_t emu_measure(void (*body)(void *), void *context) {
    check_not_recording("measure");
    device.measuring = true;
    device.peak_bytes = device.taken_bytes;
    body(context);
    device.measuring = false;
    return device.peak_bytes;
}

static status emu_reserve(size_t bytes, error *e) {
    (void)e;
    check_not_recording("reserve");
    device.is_reserved = true;
    if (bytes > device.reserved_bytes) device.reserved_bytes = bytes;
    return STATUS_OK;
}

#define EMU(its_name, its_open)                                                                    \
    {                                                                                              \
        .name = its_name, .summary = "emulated GPU", .real_bytes = sizeof(float),                  \
        .tape_bytes = 1 << 20, .lanes = 1, .ops = ops_f32, .kernels = &kernels_emu,                \
        .missing = emu_missing, .devices = emu_devices, .open = its_open, .alloc = emu_alloc,      \
        .release = emu_release, .alloc_host = emu_alloc_host, .release_host = emu_release_host,    \
        .put = emu_put, .get = emu_get, .zero = emu_zero, .mark = emu_mark, .await = emu_await,    \
        .replay = emu_replay, .forget = emu_forget, .measure = emu_measure,                        \
        .reserve = emu_reserve, .sync = emu_sync                                                   \
    }

const backend backend_emu[3] = {EMU("emu", open_lockstep), EMU("emu-forward", open_forward),
                                EMU("emu-reverse", open_reverse)};
