/* verdict.c - see verdict.h. */
#include "verdict.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

ending ending_of(int wait_status) {
    return (ending){WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : -1,
                    WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : 0};
}

const char *log_tail(arena *a, const char *path) {
    char *text = arena_alloc(a, LOG_TAIL);
    FILE *f = fopen(path, "r");
    text[0] = 0;
    if (!f) return text;
    if (fseek(f, -(long)(LOG_TAIL - 1), SEEK_END)) rewind(f);
    text[fread(text, 1, LOG_TAIL - 1, f)] = 0;
    fclose(f);
    return text;
}

const char *last_words(arena *a, const char *tail) {
    static const char mark[] = "mixgrid: error: ";
    const char *last = NULL;
    for (const char *p = tail; (p = strstr(p, mark)); p += sizeof mark - 1) last = p;
    if (!last) return NULL;
    last += sizeof mark - 1;
    return arena_printf(a, "%.*s", (int)strcspn(last, "\n"), last);
}

verdict verdict_on(arena *a, ending how, const char *tail, bool stopped) {
    stopped |= how.exit_code == STATUS_INTERRUPTED;
    const char *words = how.exit_code > 0 ? last_words(a, tail) : NULL, *message = words;
    if (how.signal)
        message = arena_printf(a, "its worker was ended by signal %d (%s).", how.signal,
                               strsignal(how.signal));
    else if (stopped)
        message = "its worker was stopped before it could write a checkpoint.";
    else if (!words)
        message = arena_printf(a, "its worker ended with exit code %d.", how.exit_code);
    return (verdict){.state = stopped ? RUN_PREEMPTED : RUN_FAILED,
                     .exit_code = how.exit_code < 0 ? 0 : how.exit_code,
                     .signal = how.signal,
                     .message = message,
                     .log_tail = tail};
}

status verdict_pass(const verdict *v, store *s, const char *journal_folder, const grid_cell *cell,
                    error *e) {
    arena *a = arena_new();
    const status passed = store_run_fail(
        s, journal_folder, cell->config->id, config_json(a, cell->config, CONFIG_IDENTITY),
        v->state, v->exit_code, v->signal, v->message, v->log_tail ? v->log_tail : "", e);
    arena_free(a);
    return passed;
}
