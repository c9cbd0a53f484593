/* op_test.c - every op of the registry, every case, every backend; and the checks themselves.
 *
 *   build/release/op_test             all ops
 *   build/release/op_test linear      one op
 *   build/release/op_test linear 2    one case of it, numbered from 0 as in its file
 *
 * emu_op_test is the same program with the emulated GPU in place of the float builds.
 * There is no list of ops here: a new op/NAME.c is tested as soon as it is compiled. */
#include "fault_kernels.h"
#include "op_check.h"
#ifdef EMULATED
#    include "kernels/emu/backend_emu.h"
#endif

#include <setjmp.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include <time.h>

static const char *program;
static int only_case = -1;
static const backend *fast[MAX_FAST];
static int n_fast;

/* What is tested: every float build of this processor and, where there is one, the GPU; in
 * emu_op_test the emulated GPU, first in the order that a missing barrier survives least. Opened
 * here, once. */
static status find_fast(error *e) {
#ifdef EMULATED
    static const int order[] = {2, 1, 0};
    for (int i = 0; i < 3; i++) fast[n_fast++] = &backend_emu[order[i]];
#else
    for (int i = 0; backend_at(i); i++)
        if (backend_at(i)->real_bytes == sizeof(float) && !backend_at(i)->missing())
            fast[n_fast++] = backend_at(i);
#endif
    for (int i = 0; i < n_fast; i++)
        if (fast[i]->open(NULL, NUMERICS_STRICT, e)) return e->code;
    if (!n_fast) return error_set(e, STATUS_ENVIRONMENT, "this processor runs no float build.");
    return STATUS_OK;
}

static subject subject_of(enum op_id id, int case_no) {
    error e = {0};
    subject s = {.arena = arena_new(), .id = id, .case_no = case_no, .program = program};
    s.exact = backend_find("f64", &e);
    assert_non_null(s.exact);
    s.n_fast = n_fast;
    memcpy(s.fast, fast, sizeof s.fast);
    return s;
}

static double cpu_s(void) { return (double)clock() / CLOCKS_PER_SEC; }

static void test_op(void **state) {
    const enum op_id id = *(const enum op_id *)*state;
    const double long_s = 3, start_s = cpu_s();
    subject s = subject_of(id, 0);
    check_entry(&s);
    const op *o = s.exact->ops[id];
    subject_free(&s);
    for (int i = 0; i < o->n_cases && !s.failed; i++) {
        if (only_case >= 0 && i != only_case) continue;
        s = subject_of(id, i);
        subject_check(&s);
        subject_free(&s);
    }
    if (s.failed) fail_msg("%s", s.failure);
    const double used_s = cpu_s() - start_s;
    if (used_s > long_s) print_message("op %s took %.1f s of processor time\n", o->name, used_s);
}

/* ---- the checks themselves -------------------------------------------------------------- */

static const struct {
    enum op_id id;
    int case_no;
    fault fault;
    const char *check;
} plants[] = {
    {OP_linear, 0, FAULT_TAP, "gradient"},
    {OP_linear, 3, FAULT_TAP, "gradient"}, /* large: elements are moved in blocks */
    {OP_linear, 0, FAULT_PAST_END, "writes"},
    {OP_linear, 0, FAULT_BEFORE, "writes"},
    {OP_linear, 0, FAULT_UNWRITTEN, "writes"},
    {OP_linear, 0, FAULT_INPUT, "writes"},
    {OP_linear, 0, FAULT_RUN_INDEX, "runs"},
    {OP_linear, 0, FAULT_REPEAT, "repeat"},
    {OP_linear, 0, FAULT_ADDRESS, "repeat"},
    {OP_linear, 0, FAULT_OVERWRITE, "adds"},
    {OP_linear, 0, FAULT_NULL, "unwanted"},
    {OP_linear, 0, FAULT_PRECISION, "precision"},
    {OP_linear, 0, FAULT_REPEAT, "order"},
    {OP_head, 0, FAULT_ROOT, "root"},
    {OP_quant8, 0, FAULT_TAP, "gradient"}, /* against what the op states, not differences */
    {OP_charge, 0, FAULT_TAP, "gradient"},
};

static const check *find_check(const char *name) {
    const check *c = all_checks;
    while (c->name && strcmp(c->name, name) != 0) c++;
    if (!c->name) fail_msg("no check is called %s", name);
    return c;
}

/* The wrappers read and write tensors in place, as only a CPU allows, or the emulator on request.
 */
static void expose_memory(bool on) {
#ifdef EMULATED
    emu_expose(on);
#else
    (void)on;
#endif
}

/* Runs the check of plant i on tables with fault f: around the kernels of a CPU build, or of the
 * emulator in all its thread orders. */
static bool check_finds(size_t i, fault f) {
    subject s = subject_of(plants[i].id, plants[i].case_no);
    backend exact = *s.exact, spoiled[MAX_FAST];
    const kernels *good = NULL;
    exact.kernels = fault_kernels_f64(f, exact.kernels);
    s.exact = &exact;
    s.n_fast = 0;
    for (int k = 0; k < n_fast; k++) {
        if (!good && (IS_EMULATED || memory_is_host(fast[k]))) good = fast[k]->kernels;
        if (!good || fast[k]->kernels != good) continue;
        spoiled[s.n_fast] = *fast[k];
        spoiled[s.n_fast].kernels = fault_kernels_f32(f, good);
        s.fast[s.n_fast] = &spoiled[s.n_fast];
        s.n_fast++;
    }
    assert_true(s.n_fast > 0);
    assert_true(subject_draw(&s));
    expose_memory(true);
    check_run(&s, find_check(plants[i].check));
    expose_memory(false);
    subject_free(&s);
    return s.failed;
}

static void test_planted_kernels(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof plants / sizeof *plants; i++) {
        if (!check_applies(find_check(plants[i].check))) continue;
        if (check_finds(i, FAULT_NONE))
            fail_msg("check %s finds a fault where there is none", plants[i].check);
        if (!check_finds(i, plants[i].fault))
            fail_msg("check %s misses planted fault %d", plants[i].check, plants[i].fault);
    }
}

/* Faults of a table entry: an undeclared read, no cases. */
static void test_planted_entries(void **state) {
    (void)state;
    subject s = subject_of(OP_linear, 0);
    backend exact = *s.exact, first = *s.fast[0];
    const op *ops[N_OP], *fast_ops[N_OP];
    memcpy(ops, exact.ops, sizeof ops);
    memcpy(fast_ops, first.ops, sizeof fast_ops);
    op entry = *ops[OP_linear], fast_entry = *fast_ops[OP_linear];
    ops[OP_linear] = &entry;
    fast_ops[OP_linear] = &fast_entry;
    exact.ops = ops;
    first.ops = fast_ops;
    s.exact = &exact;
    s.fast[0] = &first;
    s.n_fast = 1;
    assert_true(subject_draw(&s));

    check_run(&s, find_check("reads"));
    check_entry(&s);
    assert_false(s.failed);
    entry.reads = fast_entry.reads = READS_IN(0);
    check_run(&s, find_check("reads"));
    assert_true(s.failed);

    s.failed = false;
    entry.n_cases = 0;
    check_entry(&s);
    assert_true(s.failed);
    assert_non_null(strstr(s.failure, "no test cases"));
    assert_non_null(strstr(s.failure, "op_test linear 0"));
    subject_free(&s);
}

static int usage(const char *why, const char *what) {
    print_error("%s: %s %s; usage: %s [OP [CASE]]\n", program, why, what, program);
    return STATUS_USAGE;
}

int main(int argc, char **argv) {
    program = argv[0];
    error e = {0};
    if (find_fast(&e)) {
        print_error("%s: %s\n", program, e.text);
        return (int)e.code;
    }
    const backend *b = backend_find("f64", &e);
    static enum op_id ids[N_OP];
    struct CMUnitTest tests[N_OP + 2];
    size_t n = 0;
    for (int i = 0; i < N_OP; i++) {
        ids[i] = (enum op_id)i;
        if (argc > 1 && strcmp(argv[1], b->ops[i]->name) != 0) continue;
        tests[n++] = (struct CMUnitTest){b->ops[i]->name, test_op, NULL, NULL, &ids[i]};
    }
    if (!n) return usage("no op is called", argv[1]);
    if (argc > 2) {
        char *end;
        errno = 0;
        long value = strtol(argv[2], &end, 10);
        int n_cases = ((const op *)b->ops[*(enum op_id *)tests[0].initial_state])->n_cases;
        if (errno || *end || end == argv[2] || value < 0 || value >= n_cases)
            return usage("no such case:", argv[2]);
        only_case = (int)value;
    }
    if (argc == 1) {
        tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_planted_kernels);
        tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_planted_entries);
    }
    return _cmocka_run_group_tests("ops", tests, n, NULL, NULL);
}
