/* slurm_task.c - see slurm_task.h. */
#include "slurm_task.h"

#include "slurm_call.h"

#include <ctype.h>
#include <string.h>

static bool is_one_of(const char *state, const char *const *name) {
    for (; *name; name++)
        if (!strcmp(state, *name)) return true;
    return false;
}

static task_word word_of(const char *state) {
    static const char *const waiting[] = {"PENDING",      "REQUEUED",     "REQUEUE_FED",
                                          "REQUEUE_HOLD", "SPECIAL_EXIT", NULL};
    static const char *const live[] = {"RUNNING",   "COMPLETING", "CONFIGURING",
                                       "RESIZING",  "STOPPED",    "SIGNALING",
                                       "STAGE_OUT", "SUSPENDED",  NULL};
    return is_one_of(state, waiting) ? TASK_PENDING
           : is_one_of(state, live)  ? TASK_RUNNING
                                     : TASK_ENDED;
}

/* The text up to `end` of the line or field; moves behind it. */
static const char *take(const char **p, arena *a, const char *end) {
    const size_t n = strcspn(*p, end);
    const char *text = arena_printf(a, "%.*s", (int)n, *p);
    *p += n;
    if (**p && **p != '\n') (*p)++;
    return text;
}

static const char *next_line(const char *p) {
    p += strcspn(p, "\n");
    return p + (*p == '\n');
}

static int index_of(const char *digits, int n) {
    long index = 0;
    if (!*digits) return -1;
    for (; *digits; digits++) {
        if (!isdigit((unsigned char)*digits) || index > n) return -1;
        index = 10 * index + *digits - '0';
    }
    return index >= 1 && index <= n ? (int)index - 1 : -1;
}

void slurm_read_squeue(slurm_task *task, int n, arena *a, const char *text) {
    for (const char *line = text; *line; line = next_line(line)) {
        const char *p = line;
        const int i = index_of(take(&p, a, "|\n"), n);
        if (i < 0 || p[-1] != '|') continue;
        const char *state = take(&p, a, "|\n"), *reason = take(&p, a, "|\n"),
                   *node = take(&p, a, "|\n");
        const task_word word = word_of(state);
        task[i] = (slurm_task){word, state, word == TASK_PENDING ? reason : node};
    }
}

void slurm_read_sacct(slurm_task *task, int n, arena *a, const char *job, const char *text) {
    const size_t length = strlen(job);
    for (const char *line = text; *line; line = next_line(line)) {
        const char *p = line;
        const char *id = take(&p, a, "|\n");
        if (strncmp(id, job, length) || id[length] != '_') continue;
        const int i = index_of(id + length + 1, n);
        if (i < 0 || task[i].word != TASK_UNKNOWN) continue;
        const char *state = take(&p, a, "| \n"); /* "CANCELLED by 1000" */
        while (*p && *p != '\n' && p[-1] != '|') p++;
        const char *node = take(&p, a, "|\n");
        task[i] = (slurm_task){word_of(state), state, node};
    }
}

status slurm_ask(slurm_task *task, arena *a, const slurm_array *array, error *e) {
    const int n = array->shares;
    for (int i = 0; i < n; i++) task[i] = (slurm_task){TASK_UNKNOWN, "", ""};
    if (!array->job) return STATUS_OK;
    const char *const squeue[] = {"squeue",       "--noheader", "--array",     "--job", array->job,
                                  "--states=all", "--format",   "%K|%T|%r|%N", NULL};
    const char *const sacct[] = {"sacct",  "--noheader", "--parsable2", "--allocations",
                                 "--jobs", array->job,   "--format",    "JobID,State,NodeList",
                                 NULL};
    const char *text;
    int code;
    if (call_program(&text, &code, a, squeue, e)) return e->code;
    if (code && !strstr(text, "Invalid job id")) return STATUS_OK; /* no Slurm, or no answer */
    slurm_read_squeue(task, n, a, text);
    bool all = true;
    for (int i = 0; i < n; i++) all &= task[i].word != TASK_UNKNOWN;
    if (all) return STATUS_OK;
    if (call_program(&text, &code, a, sacct, e)) return e->code;
    if (!code) slurm_read_sacct(task, n, a, array->job, text);
    for (int i = 0; i < n; i++)
        if (task[i].word == TASK_UNKNOWN) task[i] = (slurm_task){TASK_ENDED, "ended", ""};
    return STATUS_OK;
}
