/* cuda_record_test.c - recordings of the CUDA backend, and errors: the first one is kept, told
 * once, and names the kernel; bugs of the caller end the process. */
#include "cuda_fixture.h"

/* --- recordings ------------------------------------------------------------------------------ */
/* A step: in -> x, x += 1 by a kernel that keeps a copy in scratch, x -> out. */
typedef struct step {
    float *in, *out, *x, *kept;
    int bodies;
    size_t scratch;
} step;

static void kernel_increment(void *argument) {
    step *s = argument;
    s->kept[0] = s->x[0];
    s->x[0] += 1;
}

static void step_body(void *context) {
    step *s = context;
    s->bodies++;
    gpu->put(s->x, s->in, sizeof(float));
    const size_t mark = launch_mark();
    float *kept = launch_take(s->scratch);
    if (launch_begin("increment")) {
        s->kept = kept;
        fake_launch(kernel_increment, s);
        launch_end("increment");
    }
    launch_drop(mark);
    gpu->get(s->out, s->x, sizeof(float));
}

static step *step_new(void) {
    static step s;
    error e = {0};
    s = (step){host_new(1), host_new(1), device_new(4), NULL, 0, sizeof(float)};
    const size_t need = gpu->measure(step_body, &s);
    expect(need == 256 && s.bodies == 1 && !s.kept);
    expect(gpu->reserve(need, &e) == STATUS_OK);
    s.bodies = 0;
    return &s;
}

static void repeat(recording **r, step *s, float value, int bodies, int launches) {
    error e = {0};
    s->in[0] = value;
    gpu->replay(r, step_body, s);
    if (gpu->sync(&e)) expect_text(e.text, "no error");
    expect(s->out[0] == value + 1);
    expect(s->bodies == bodies && fake.graph_launches == launches);
}

static void replays(void) {
    plug_in();
    open_gpu();
    step *s = step_new();
    recording *r = NULL;
    repeat(&r, s, 10, 1, 0); /* as it is */
    repeat(&r, s, 20, 2, 1); /* recorded and started */
    repeat(&r, s, 30, 2, 2);
    repeat(&r, s, 40, 2, 3);
    error e = {0};
    expect(gpu->reserve(1 << 16, &e) == STATUS_OK); /* scratch moved */
    repeat(&r, s, 50, 3, 4);
    repeat(&r, s, 60, 3, 5);
    expect(gpu->reserve(1, &e) == STATUS_OK); /* enough is there */
    repeat(&r, s, 70, 3, 6);
    expect(fake.captures == 2);
    gpu->forget(r);
    gpu->forget(NULL);
    expect(fake.graphs_alive == 0);
}

static void replays_without_graphs(void) {
    backend_no_graph = true;
    plug_in();
    open_gpu();
    step *s = step_new();
    recording *r = NULL;
    for (int i = 1; i < 4; i++) repeat(&r, s, (float)i, i, 0);
    gpu->forget(r);
    expect(fake.captures == 0);
}

/* Two recordings do not disturb each other. */
static void replays_in_turns(void) {
    plug_in();
    open_gpu();
    step *s = step_new(), other = *s;
    other.in = host_new(1);
    other.out = host_new(1);
    other.x = device_new(4);
    recording *r = NULL, *q = NULL;
    for (int i = 0; i < 4; i++) {
        error e = {0};
        s->in[0] = (float)i;
        other.in[0] = (float)(2 * i);
        gpu->replay(&r, step_body, s);
        gpu->replay(&q, step_body, &other);
        expect(gpu->sync(&e) == STATUS_OK);
        expect(s->out[0] == (float)(i + 1) && other.out[0] == (float)(2 * i + 1));
    }
    expect(s->bodies == 2 && other.bodies == 2);
    gpu->forget(r);
    gpu->forget(q);
}

/* --- errors ---------------------------------------------------------------------------------- */
static void keeps_the_first_error(void) {
    plug_in();
    open_gpu();
    step *s = step_new();
    recording *r = NULL;
    repeat(&r, s, 1, 1, 0);
    fake.launch_code = cudaErrorInvalidConfiguration;
    gpu->replay(&r, step_body, s); /* fails while it is recorded */
    const int calls = fake.calls;
    error e = {0};
    gpu->zero(s->x, 4);
    gpu->put(s->x, s->in, 4);
    gpu->mark(0);
    gpu->await(0);
    gpu->replay(&r, step_body, s);
    expect(!launch_begin("other") && !gpu->alloc(4, &e));
    expect_text(e.text, "starting kernel increment");
    expect(fake.calls == calls && fake.graph_launches == 0);
    e = (error){0};
    expect(gpu->sync(&e) == STATUS_ENVIRONMENT);
    expect_text(e.text, "the GPU failed while starting kernel increment: some error");
    e = (error){0};
    expect(gpu->sync(&e) == STATUS_OK); /* told once */
    repeat(&r, s, 7, 3, 1);             /* recorded again */
    gpu->forget(r);
    expect(fake.graphs_alive == 0);
}

static void reports_what_a_kernel_did(void) {
    plug_in();
    open_gpu();
    step *s = step_new();
    recording *r = NULL;
    error e = {0};
    gpu->replay(&r, step_body, s);
    fake.run_code = cudaErrorIllegalAddress;
    expect(gpu->sync(&e) == STATUS_ENVIRONMENT);
    expect_text(e.text, "computing: an illegal memory access was encountered");
    expect_text(e.text, "--no-graph tells in which kernel");
    e = (error){0};
    gpu->zero(s->x, 4);
    expect(gpu->sync(&e) == STATUS_ENVIRONMENT); /* the device stays broken */
}

static void names_the_kernel_without_graphs(void) {
    backend_no_graph = true;
    plug_in();
    open_gpu();
    step *s = step_new();
    recording *r = NULL;
    error e = {0};
    s->in[0] = 1;
    gpu->put(s->x, s->in, 4);
    fake.run_code = cudaErrorIllegalAddress;
    if (launch_begin("culprit")) launch_end("culprit");
    gpu->replay(&r, step_body, s);
    expect(gpu->sync(&e) == STATUS_ENVIRONMENT);
    expect_text(e.text, "running kernel culprit: an illegal");
    expect(!strstr(e.text, "--no-graph"));
}

/* Bugs of the caller. */
static void takes_too_much(void) {
    error e = {0};
    plug_in();
    open_gpu();
    expect(gpu->reserve(512, &e) == STATUS_OK);
    launch_take(513);
}
static void body_copies_other_memory(void *context) {
    float x = 0;
    gpu->put(context, &x, sizeof x);
}
static void body_marks(void *context) {
    (void)context;
    gpu->mark(0);
}
static void body_allocates(void *context) {
    error e = {0};
    (void)context;
    gpu->alloc(4, &e);
}

static void record_body(void (*body)(void *)) {
    plug_in();
    open_gpu();
    recording *r = NULL;
    void *p = device_new(4);
    gpu->replay(&r, body, p);
    gpu->replay(&r, body, p);
}
static void copies_while_recording(void) { record_body(body_copies_other_memory); }
static void marks_while_recording(void) { record_body(body_marks); }
static void allocates_while_recording(void) { record_body(body_allocates); }
static void works_before_open(void) {
    float x = 0;
    gpu->zero(&x, sizeof x);
}

static void stops_on_bugs(void **state) {
    (void)state;
    void (*const bug[])(void) = {takes_too_much, copies_while_recording, marks_while_recording,
                                 allocates_while_recording, works_before_open};
    for (size_t i = 0; i < sizeof bug / sizeof *bug; i++) {
        const int said = wait_status_of(bug[i], true);
        assert_true(WIFSIGNALED(said));
        assert_int_equal(WTERMSIG(said), SIGABRT);
    }
}

#define SCENARIOS(S)                                                                               \
    S(replays)                                                                                     \
    S(replays_without_graphs)                                                                      \
    S(replays_in_turns)                                                                            \
    S(keeps_the_first_error)                                                                       \
    S(reports_what_a_kernel_did)                                                                   \
    S(names_the_kernel_without_graphs)
SCENARIOS(SCENARIO)

int main(void) {
    const struct CMUnitTest tests[] = {SCENARIOS(ENTRY) cmocka_unit_test(stops_on_bugs)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
