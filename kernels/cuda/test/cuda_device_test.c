/* cuda_device_test.c - finding the devices of a machine without touching them, and opening one. */
#include "cuda_fixture.h"
#include "kernels/cuda/cuda_devices.h"

/* --- finding --------------------------------------------------------------------------------- */
static void finds_devices_without_touching_them(void) {
    plug_in();
    device_info d[4];
    expect(!gpu->missing());
    expect(gpu->devices(d, 4) == 2 && gpu->devices(d, 1) == 1);
    expect(!strcmp(d[0].id, "GPU-abcdef01-0000-0000-0000-000000000000"));
    expect(!strcmp(d[1].id, "GPU-abcd2300-0000-0000-0000-000000000000"));
    expect(!strcmp(d[0].name, "NVIDIA H100, compute capability 9.0, driver 580.95.05"));
    expect(d[1].mem_bytes == 40u << 20 && d[1].mem_free_bytes == 4u << 20);
    expect(fake.calls == 0);
    fake.crashes = true; /* known by now */
    expect(!gpu->missing());
}

static void asks_the_runtime_for_memory_without_nvml(void) {
    plug_in();
    fake.has_nvml = false;
    expect_text(gpu->note(), "cuBLAS not found: train.numerics can only be strict");
    fake.has_blas = true;
    expect_text(gpu->note(), "cuBLAS found (libcublas.so.12)");
    device_info d[2];
    expect(gpu->devices(d, 2) == 2 && d[0].mem_free_bytes == 70u << 20);
    expect(!strcmp(d[1].name, "NVIDIA A100, compute capability 8.0"));
}

static void says_why(const char *part) {
    device_info d;
    expect(gpu->missing());
    expect_text(gpu->missing(), part);
    expect(gpu->devices(&d, 1) == 0 && fake.calls == 0);
    error e = {0};
    expect(gpu->open(NULL, NUMERICS_STRICT, &e) == STATUS_ENVIRONMENT);
}

static void says_no_driver(void) {
    fake.count_code = cudaErrorInsufficientDriver;
    says_why("no NVIDIA driver is installed (libcuda.so.1 is not found)");
}
static void says_old_driver(void) {
    plug_in();
    fake.count_code = cudaErrorInsufficientDriver;
    fake.driver_version = 11080;
    says_why("the NVIDIA driver is for CUDA 11.8 and this build for 1");
}
static void says_no_device(void) {
    fake.has_driver = true;
    fake.count_code = cudaErrorNoDevice;
    unsetenv("CUDA_VISIBLE_DEVICES");
    says_why("the NVIDIA driver sees no GPU");
}
static void says_hidden(void) {
    fake.has_driver = true;
    setenv("CUDA_VISIBLE_DEVICES", "", 1);
    says_why("no GPU is visible; CUDA_VISIBLE_DEVICES is \"\"");
}
static void says_too_old(void) {
    plug_in();
    fake.device[0] = fake.device[1];
    fake.n_device = 2;
    says_why("GeForce GTX 1080 has compute capability 6.1 and 8.0 is the oldest supported");
}
static void says_other_error(void) {
    plug_in();
    fake.count_code = cudaErrorSystemNotReady;
    says_why("the NVIDIA driver says: some error");
}
static void does_not_wait(void) {
    plug_in();
    fake.hangs = true;
    expect_text(gpu->missing(), "the NVIDIA driver did not answer");
    expect(waitpid(-1, NULL, 0) < 0); /* no child is left */
}
static void survives_a_crash(void) {
    plug_in();
    fake.crashes = true;
    expect_text(gpu->missing(), "the NVIDIA driver did not answer");
}

/* --- opening --------------------------------------------------------------------------------- */
static void picks(void) {
    plug_in();
    cuda_devices d;
    cuda_devices_list(&d, true);
    expect(d.n == 2 && !d.missing[0]);
    static const struct {
        const char *wanted;
        int found;
        const char *says;
    } cases[] = {
        {NULL, 0, ""},
        {"0", 0, ""},
        {"1", 1, ""},
        {"2", -1, "cuda:2 does not exist: this machine has 2 GPUs"},
        {"GPU-abcdef01-0000-0000-0000-000000000000", 0, ""},
        {"GPU-ABCD23", 1, ""},
        {"abcde", 0, ""},
        {"abcd", -1, "names more than one GPU"},
        {"abc", -1, "names no GPU"},
        {"GPU-", -1, "names no GPU"},
        {"", -1, "names no GPU"},
        {"1111", -1, "names no GPU"},
        {"GPU-abcdef01-0000-0000-0000-0000000000000", -1, "names no GPU"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        error e = {0};
        expect(cuda_device_pick(&d, cases[i].wanted, &e) == cases[i].found);
        expect_text(e.text, cases[i].says);
        expect((cases[i].found < 0) == (e.code == STATUS_ENVIRONMENT));
    }
}

static void opens_what_was_asked_for(void) {
    plug_in();
    fake.has_nvml = false;
    error e = {0};
    expect(gpu->open("1", NUMERICS_STRICT, &e) == STATUS_OK);
    expect(fake.opened == 2 && fake.devices_used == 1); /* the old one is not counted */
}

static void needs_cublas(void) {
    plug_in();
    error e = {0};
    expect(gpu->open(NULL, NUMERICS_TF32, &e) == STATUS_ENVIRONMENT);
    expect_text(e.text, "train.numerics: tf32 needs cuBLAS, and libcublas.so.13 is not found");
}

#define SCENARIOS(S)                                                                               \
    S(finds_devices_without_touching_them)                                                         \
    S(asks_the_runtime_for_memory_without_nvml)                                                    \
    S(says_no_driver)                                                                              \
    S(says_old_driver)                                                                             \
    S(says_no_device)                                                                              \
    S(says_hidden)                                                                                 \
    S(says_too_old)                                                                                \
    S(says_other_error)                                                                            \
    S(does_not_wait)                                                                               \
    S(survives_a_crash)                                                                            \
    S(picks)                                                                                       \
    S(opens_what_was_asked_for)                                                                    \
    S(needs_cublas)
SCENARIOS(SCENARIO)

int main(void) {
    const struct CMUnitTest tests[] = {SCENARIOS(ENTRY)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
