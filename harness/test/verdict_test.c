/* verdict_test.c - what is said of a worker that could not say it itself. */
#include "folder_fixture.h"
#include "harness/verdict.h"

#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

static void last_words_are_those_of_the_last_error(void **state) {
    (void)state;
    arena *a = arena_new();
    assert_null(last_words(a, ""));
    assert_null(last_words(a, "mixgrid: a note\nmixgrid: error:\n"));
    assert_string_equal(last_words(a, "mixgrid: error: one.\nmixgrid: error: two.\nmore\n"),
                        "two.");
    assert_string_equal(last_words(a, "mixgrid: error: cut sh"), "cut sh");
    arena_free(a);
}

static void tail_of_a_log_is_its_end(void **state) {
    (void)state;
    folder f = folder_new();
    assert_string_equal(log_tail(f.arena, folder_at(&f, "none")), "");
    assert_string_equal(log_tail(f.arena, folder_write(&f, "short", "a\nb\n")), "a\nb\n");
    char *text = arena_alloc(f.arena, 3 * LOG_TAIL + 1);
    for (int i = 0; i < 3 * LOG_TAIL; i++) text[i] = (char)('a' + i % 26);
    text[3 * LOG_TAIL] = '\0';
    assert_string_equal(log_tail(f.arena, folder_write(&f, "long", text)), text + 2 * LOG_TAIL + 1);
    folder_remove(&f);
}

static void verdict_follows_from_the_ending(void **state) {
    (void)state;
    static const struct {
        int wait_status;
        bool stopped;
        const char *tail;
        run_state state;
        int exit_code, signal;
        const char *message;
    } c[] = {
        {SIGSEGV, false, "mixgrid: error: x.\n", RUN_FAILED, 0, SIGSEGV,
         "its worker was ended by signal 11 (Segmentation fault)."},
        {SIGKILL, true, "", RUN_PREEMPTED, 0, SIGKILL,
         "its worker was ended by signal 9 (Killed)."},
        {3 << 8, false, "mixgrid: error: no room.\n", RUN_FAILED, 3, 0, "no room."},
        {3 << 8, false, "a note\n", RUN_FAILED, 3, 0, "its worker ended with exit code 3."},
        {0, false, "mixgrid: error: x.\n", RUN_FAILED, 0, 0, "its worker ended with exit code 0."},
        {STATUS_INTERRUPTED << 8, false, "", RUN_PREEMPTED, STATUS_INTERRUPTED, 0,
         "its worker was stopped before it could write a checkpoint."},
    };
    arena *a = arena_new();
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        const verdict v = verdict_on(a, ending_of(c[i].wait_status), c[i].tail, c[i].stopped);
        assert_int_equal(v.state, c[i].state);
        assert_int_equal(v.exit_code, c[i].exit_code);
        assert_int_equal(v.signal, c[i].signal);
        assert_string_equal(v.message, c[i].message);
        assert_string_equal(v.log_tail, c[i].tail);
    }
    arena_free(a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(last_words_are_those_of_the_last_error),
        cmocka_unit_test(tail_of_a_log_is_its_end),
        cmocka_unit_test(verdict_follows_from_the_ending),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
