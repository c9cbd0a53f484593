/* op_test.c - every op of the registry, every case, every backend; and the checks themselves.
 *
 *   build/release/op_test             all ops
 *   build/release/op_test linear      one op
 *   build/release/op_test linear 2    one case of it, numbered from 0 as in its file
 *
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

static const char *program;
static int only_case = -1;

static subject subject_of(enum op_id id, int case_no) {
    error e = {0};
    subject s = {.arena = arena_new(), .id = id, .case_no = case_no, .program = program};
    s.exact = backend_find("f64", &e);
#ifdef EMULATED
    s.fast[s.n_fast++] = &backend_emu[0];
#endif
    for (int i = 0; backend_at(i) && !s.n_fast; i++) {
        const backend *b = backend_at(i);
        if (b->real_bytes == sizeof(float) && !b->missing()) s.fast[s.n_fast++] = b;
    }
    assert_non_null(s.exact);
    assert_true(s.n_fast > 0);
    return s;
}

static void test_op(void **state) {
    const enum op_id id = *(const enum op_id *)*state;
    subject s = subject_of(id, 0);
    check_entry(&s);
    const int n_cases = s.exact->ops[id]->n_cases;
    arena_free(s.arena);
    for (int i = 0; i < n_cases && !s.failed; i++) {
        if (only_case >= 0 && i != only_case) continue;
        s = subject_of(id, i);
        subject_check(&s);
        arena_free(s.arena);
    }
    if (s.failed) fail_msg("%s", s.failure);
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
    {OP_head, 0, FAULT_ROOT, "root"},
};

static void run_check(subject *s, const char *name) {
    for (const check *c = all_checks; c->name; c++)
        if (!strcmp(c->name, name)) {
            c->run(s);
            return;
        }
    fail_msg("no check is called %s", name);
}

/* Runs the check of plant i on a table with fault f. */
static bool check_finds(size_t i, fault f) {
    subject s = subject_of(plants[i].id, plants[i].case_no);
    backend exact = *s.exact, fast = *s.fast[0];
    exact.kernels = fault_kernels_f64(f, exact.kernels);
    fast.kernels = fault_kernels_f32(f, fast.kernels);
    s.exact = &exact;
    s.fast[0] = &fast;
    s.n_fast = 1;
    assert_true(subject_draw(&s));
    run_check(&s, plants[i].check);
    arena_free(s.arena);
    return s.failed;
}

static void test_planted_kernels(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof plants / sizeof *plants; i++) {
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
    backend exact = *s.exact;
    const op *ops[N_OP];
    memcpy(ops, exact.ops, sizeof ops);
    op entry = *ops[OP_linear];
    ops[OP_linear] = &entry;
    exact.ops = ops;
    s.exact = &exact;
    s.n_fast = 0;
    assert_true(subject_draw(&s));

    run_check(&s, "reads");
    check_entry(&s);
    assert_false(s.failed);
    entry.reads = READS_IN(0);
    run_check(&s, "reads");
    assert_true(s.failed);

    s.failed = false;
    entry.n_cases = 0;
    check_entry(&s);
    assert_true(s.failed);
    assert_non_null(strstr(s.failure, "no test cases"));
    assert_non_null(strstr(s.failure, "op_test linear 0"));
    arena_free(s.arena);
}

static int usage(const char *why, const char *what) {
    print_error("op_test: %s %s; usage: op_test [OP [CASE]]\n", why, what);
    return STATUS_USAGE;
}

int main(int argc, char **argv) {
    program = argv[0];
    error e = {0};
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
