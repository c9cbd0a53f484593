/* cuda_memory_test.c - memory and scratch of the CUDA backend, and the order of copies. */
#include "cuda_fixture.h"

/* --- memory and order ------------------------------------------------------------------------ */
static void memory_is_zeroed_and_counted(void) {
    plug_in();
    open_gpu();
    error e = {0};
    float x[3] = {1, 2, 3}, *p = device_new(sizeof x);
    expect((uintptr_t)p % 64 == 0 && fake.live_bytes == sizeof x);
    gpu->get(x, p, sizeof x);
    expect(x[0] == 0 && x[2] == 0);
    const float *host = gpu->alloc_host(8, &e);
    expect(host && host[0] == 0 && host[1] == 0);
    gpu->release_host((void *)(uintptr_t)host);
    gpu->release(p);
    gpu->release(NULL);
    gpu->release_host(NULL);
    gpu->release(device_new(0));
    expect(fake.live_bytes == 0 && fake.live_host_bytes == 0);
    expect(gpu->sync(&e) == STATUS_OK);
}

static void says_out_of_memory(void) {
    plug_in();
    open_gpu();
    error e = {0};
    expect(!gpu->alloc((size_t)100 << 20, &e));
    expect_text(e.text, "100.0 MiB for tensors do not fit, 70.0 of 80.0 MiB are free");
    e = (error){0};
    expect(gpu->reserve((size_t)71 << 20, &e) == STATUS_ENVIRONMENT);
    expect_text(e.text, "71.0 MiB for scratch");
    e = (error){0};
    expect(gpu->sync(&e) == STATUS_OK); /* nothing is broken */
    expect(gpu->alloc(1 << 20, &e) && gpu->reserve(1 << 20, &e) == STATUS_OK);
}

static void other_memory_is_copied_at_once(void) {
    plug_in();
    open_gpu();
    float x[2] = {1, 2}, y[2] = {0}, *p = device_new(sizeof x);
    gpu->put(p, x, sizeof x);
    x[0] = 9;
    gpu->get(y, p, sizeof y);
    expect(y[0] == 1 && y[1] == 2);
}

static void host_memory_is_copied_in_turn(void) {
    plug_in();
    open_gpu();
    float *in = host_new(4), *out = host_new(4), *p = device_new(4 * sizeof *p);
    error e = {0};
    expect(gpu->sync(&e) == STATUS_OK);
    gpu->await(0); /* never made */
    in[1] = 5;
    gpu->put(p + 1, in + 1, sizeof *p);
    gpu->get(out, p, 4 * sizeof *p);
    gpu->mark(0);
    gpu->zero(p, 4 * sizeof *p);
    gpu->mark(1);
    expect(out[1] == 0);
    gpu->await(0);
    expect(out[0] == 0 && out[1] == 5);
    gpu->await(1);
    gpu->get(out, p, 4 * sizeof *p);
    expect(gpu->sync(&e) == STATUS_OK && out[1] == 0);
}

/* --- scratch --------------------------------------------------------------------------------- */
static size_t place[4];

static void nested_body(void *context) {
    (void)context;
    const size_t outer = launch_mark();
    place[0] = (size_t)launch_take(1);
    const size_t inner = launch_mark();
    place[1] = (size_t)launch_take(300);
    launch_drop(inner);
    place[2] = (size_t)launch_take(2);
    expect(!launch_begin("kernel"));
    place[3] = (size_t)launch_take(0);
    launch_drop(outer);
}

static void measures(void) { /* needs neither a device nor a driver */
    expect(gpu->measure(nested_body, NULL) == 256 + 512);
    expect(place[0] && place[0] % 256 == 0 && place[1] == place[0] + 256);
    expect(place[2] == place[1] && place[3] == place[2] + 256);
    expect(fake.calls == 0);
}

#define SCENARIOS(S)                                                                               \
    S(memory_is_zeroed_and_counted)                                                                \
    S(says_out_of_memory)                                                                          \
    S(other_memory_is_copied_at_once)                                                              \
    S(host_memory_is_copied_in_turn)                                                               \
    S(measures)
SCENARIOS(SCENARIO)

int main(void) {
    const struct CMUnitTest tests[] = {SCENARIOS(ENTRY)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
