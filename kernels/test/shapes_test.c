/* shapes_test.c - every op has a size at which op_bench times it, and takes it, on a CPU as on a
 * GPU. Nothing is computed here. */
#include "kernels/bench/op_shape.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static void every_op_has_a_shape(void **state) {
    (void)state;
    int lacking = 0;
    for (int id = 0; id < N_OP; id++) {
        int i = 0;
        while (i < n_op_shapes && (int)op_shapes[i].id != id) i++;
        if (i < n_op_shapes) continue;
        print_error("op %s has no shape; add one to kernels/bench/op_shape.c.\n",
                    backend_at(0)->ops[id]->name);
        lacking++;
    }
    assert_int_equal(lacking, 0);
}

static void every_op_takes_its_shapes(void **state) {
    (void)state;
    backend small = *backend_at(0), large = small;
    large.name = "cuda"; /* whose sizes are not shrunk */
    for (int i = 0; i < 2 * n_op_shapes; i++) {
        const op_shape *s = &op_shapes[i / 2];
        const backend *b = i % 2 ? &large : &small;
        arena *a = arena_new();
        error e = {0};
        const op_case c = op_shape_case(s, b);
        if (!case_node(a, b, s->id, &c, s->runs, &e))
            fail_msg("shape %d, %s: %s", i / 2, b->name, e.text);
        arena_free(a);
    }
}

static void what_is_compared_has_a_yardstick(void **state) {
    (void)state;
    int yardsticks = 0, compared = 0;
    for (int i = 0; i < n_op_shapes; i++) {
        yardsticks += op_shapes[i].role == YARDSTICK;
        compared += op_shapes[i].role == COMPARED;
        if (op_shapes[i].role == COMPARED) assert_true(yardsticks > 0);
    }
    assert_true(compared > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_op_has_a_shape),
        cmocka_unit_test(every_op_takes_its_shapes),
        cmocka_unit_test(what_is_compared_has_a_yardstick),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
