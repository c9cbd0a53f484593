/* watch_test.c - mixgrid status --watch beside sweeps that run, end, are killed or never begin. */
#include "cli_fixture.h"

#include <jansson.h>
#include <pty.h>
#include <stdlib.h>
#include <time.h>

enum { WAIT_S = 30 };

static void assert_says(const char *text, const char *part) {
    if (!strstr(text, part)) fail_msg("nothing of \"%s\" in:\n%s", part, text);
}

static void assert_ended(const outcome *o, int code) {
    if (o->code != code) fail_msg("exit code %d, signal %d:\n%s", o->code, o->signal, o->err);
}

static void wait_for(const folder *f, const char *file, const char *part) {
    const time_t until = time(NULL) + WAIT_S;
    while (!strstr(folder_read(f, file), part)) {
        if (time(NULL) > until) fail_msg("no \"%s\" in:\n%s", part, folder_read(f, file));
        usleep(50000);
    }
}

/* In a folder of its own, which has out and err of it. */
static pid_t start_watch(const folder *own, const folder *sweep, const char *options) {
    return mixgrid_start(own, arena_printf(own->arena, "status --watch --every 1 --db %s/r.db %s",
                                           sweep->path, options));
}

#define RUN "run {}/grid.yaml --db {}/r.db --no-report --workers 2 "
/* Longer than any test waits. */
#define LONG RUN "train.steps=100000000 train.log_every=50 "

static void sweep_is_watched_from_before_its_start_to_its_end(void **unused) {
    (void)unused;
    folder f = folder_new(), own = folder_new();
    folder_write(&f, "grid.yaml", grid_text);
    const pid_t watch = start_watch(&own, &f, "");
    wait_for(&own, "err", "waiting for ");
    const outcome run = mixgrid(&f, RUN);
    assert_ended(&run, STATUS_OK);
    const outcome o = mixgrid_wait(&own, watch);
    assert_ended(&o, STATUS_OK);
    assert_says(o.err, "/r.db, which is not there yet\n");
    assert_int_equal(lines_of(o.err), 1);
    const char *last = o.out;
    for (const char *p = o.out; (p = strstr(p, "\n\n")); last = p += 2) continue;
    assert_says(last, "experiment  cells  done  ");
    assert_says(last, "\nsmall           4     4       0  ");
    folder_remove(&f);
    folder_remove(&own);
}

static void check_text(const outcome *o) {
    assert_ended(o, STATUS_OK);
    assert_string_equal(o->err, "");
    assert_null(strchr(o->out, '\033'));
    assert_says(o->out, "  preempted  ");
    assert_says(o->out, "\n\nrun           label                   step ");
    assert_says(o->out, "  mixer=attention seed=1  ");
    assert_says(o->out, "/100000000  ");
    assert_says(o->out, "\n\nexperiment  cells  "); /* a second block */
    assert_null(strstr(o->out, "no scheduler"));
    assert_int_not_equal(o->out[0], '\n');
}

/* A document a line, each another than the one before. */
static void check_json(const folder *own, const outcome *o) {
    assert_ended(o, STATUS_OK);
    const char *before = "";
    bool moved = false, gone = false;
    for (const char *p = o->out, *end; *p; p = end + 1) {
        end = strchr(p, '\n');
        assert_non_null(end);
        const char *line = arena_printf(own->arena, "%.*s", (int)(end - p), p);
        assert_string_not_equal(line, before);
        before = line;
        json_t *array = json_loads(line, 0, NULL), *row = json_array_get(array, 0);
        const json_t *run = json_array_get(json_object_get(row, "runs"), 0);
        assert_string_equal(json_string_value(json_object_get(row, "experiment")), "small");
        moved |= json_integer_value(json_object_get(run, "step")) > 0 &&
                 json_integer_value(json_object_get(run, "steps")) == 100000000 &&
                 json_is_number(json_object_get(run, "loss"));
        gone = !strcmp(json_string_value(json_object_get(row, "scheduler")), "gone") && !run &&
               json_integer_value(json_object_get(row, "preempted")) == 2;
        json_decref(array);
    }
    assert_true(moved);
    assert_true(gone);
}

/* A terminal of 60 columns and 7 rows: its master, and all that it was sent by the end. */
typedef struct screen {
    int master;
    pid_t pid;
    char text[1 << 16];
} screen;

static void screen_start(screen *s, const folder *sweep, const char *term) {
    const struct winsize size = {.ws_row = 7, .ws_col = 60};
    fflush(NULL);
    s->pid = forkpty(&s->master, NULL, NULL, &size);
    CHECK(s->pid >= 0);
    if (s->pid) return;
    setenv("TERM", term, 1);
    execl(mixgrid_path(), "mixgrid", "status", "--watch", "--every", "1", "--db",
          folder_at(sweep, "r.db"), (char *)NULL);
    _exit(127);
}

static void screen_end(screen *s, int code) {
    int how;
    size_t n = 0;
    for (ssize_t got; n < sizeof s->text - 1; n += (size_t)got)
        if ((got = read(s->master, s->text + n, sizeof s->text - 1 - n)) <= 0) break;
    s->text[n] = '\0';
    close(s->master);
    CHECK(waitpid(s->pid, &how, 0) == s->pid);
    assert_true(WIFEXITED(how) && WEXITSTATUS(how) == code);
}

static void check_screens(const screen *obeys, const screen *dumb) {
    assert_null(strchr(dumb->text, '\033'));
    assert_says(dumb->text, "\r\n\r\nexperiment  cells  ");
    const char *erased = strstr(obeys->text, "\033[");
    assert_non_null(erased);
    int lines = 0; /* of the first look: what is erased is what was drawn */
    for (const char *p = obeys->text; p < erased; p++) lines += *p == '\n';
    assert_int_equal(strtol(erased + 2, NULL, 10), lines);
    assert_true(lines < 7);
    assert_null(strstr(obeys->text, "\r\n\r\nexperiment"));
    const char *last = erased; /* ESC [ n A ESC [ J */
    for (const char *p = erased; (p = strstr(p + 1, "A\033[J"));) last = p - strlen("\033[6");
    for (const char *p = obeys->text, *end; p < last && (end = strchr(p, '\r')); p = end + 2)
        assert_true(end - p < 60 + (long)strlen("\033[6A\033[J"));
    assert_says(last, " wall_s\r\n"); /* at the end all of it stays; its width is that of a time */
}

static void running_sweep_is_seen_by_all(void **unused) {
    (void)unused;
    folder f = folder_new(), own = folder_new(), lines = folder_new(), stopped = folder_new();
    static screen obeys, dumb;
    folder_write(&f, "grid.yaml", grid_text);
    const pid_t run = mixgrid_start(&f, LONG), json = start_watch(&lines, &f, "small --json");
    wait_for(&lines, "out", "\"loss\":");
    const pid_t watch = start_watch(&own, &f, ""), other = start_watch(&stopped, &f, "");
    screen_start(&obeys, &f, "xterm");
    screen_start(&dumb, &f, "dumb");
    wait_for(&own, "out", "\n\nexperiment");
    wait_for(&stopped, "out", "running_s");
    kill(other, SIGINT);
    outcome o = mixgrid_wait(&stopped, other);
    assert_ended(&o, STATUS_INTERRUPTED);
    assert_string_equal(o.err, "");
    kill(run, SIGTERM);
    screen_end(&obeys, STATUS_OK);
    screen_end(&dumb, STATUS_OK);
    o = mixgrid_wait(&own, watch);
    check_text(&o);
    o = mixgrid_wait(&lines, json);
    check_json(&lines, &o);
    check_screens(&obeys, &dumb);
    o = mixgrid_wait(&f, run);
    assert_ended(&o, STATUS_INTERRUPTED);
    folder_remove(&f);
    folder_remove(&own);
    folder_remove(&lines);
    folder_remove(&stopped);
}

static void killed_scheduler_is_missed(void **unused) {
    (void)unused;
    folder f = folder_new(), own = folder_new();
    folder_write(&f, "grid.yaml", grid_text);
    const pid_t run = mixgrid_start(&f, LONG), watch = start_watch(&own, &f, "");
    wait_for(&own, "out", "running_s");
    kill(run, SIGKILL);
    const outcome killed = mixgrid_wait(&f, run);
    assert_int_equal(killed.signal, SIGKILL);
    outcome o = mixgrid_wait(&own, watch);
    assert_ended(&o, STATUS_OK);
    const char *const says = "\nno scheduler is running: give the run command again";
    assert_says(o.out, says);
    o = mixgrid(&f, "status --db {}/r.db");
    assert_says(o.out, says);
    o = mixgrid(&f, "status --db {}/r.db --json");
    assert_says(o.out, "\"scheduler\":\"gone\",\"runs\":[{\"run\":\"");
    folder_remove(&f);
    folder_remove(&own);
}

static void nothing_to_watch(void **unused) {
    (void)unused;
    folder f = folder_new();
    pid_t pid = start_watch(&f, &f, "");
    wait_for(&f, "err", "waiting for ");
    kill(pid, SIGTERM);
    outcome o = mixgrid_wait(&f, pid);
    assert_ended(&o, STATUS_INTERRUPTED);
    assert_string_equal(o.out, "");
    assert_int_equal(lines_of(o.err), 1);
    folder_write(&f, "r.db", "This is no database, and nobody is about to make one of it.");
    pid = start_watch(&f, &f, "");
    o = mixgrid_wait(&f, pid);
    assert_ended(&o, STATUS_ENVIRONMENT);
    assert_says(o.err, "r.db is no SQLite database");
    folder_remove(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sweep_is_watched_from_before_its_start_to_its_end),
        cmocka_unit_test(running_sweep_is_seen_by_all),
        cmocka_unit_test(killed_scheduler_is_missed),
        cmocka_unit_test(nothing_to_watch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
