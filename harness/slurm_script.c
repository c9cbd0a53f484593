/* slurm_script.c - see slurm_script.h. */
#include "slurm_script.h"

#include "results/jsontext.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                            "_./:=,@+-";

const char *shell_word(arena *a, const char *word) {
    if (*word && !word[strspn(word, plain)]) return arena_text(a, word);
    jsontext t = {.arena = a};
    jsontext_put(&t, "'");
    for (const char *p = word; *p; p++)
        if (*p == '\'')
            jsontext_put(&t, "'\\''");
        else
            jsontext_printf(&t, "%c", *p);
    jsontext_put(&t, "'");
    return t.data;
}

/* sbatch reads its lines with quotes and backslashes, but expands nothing. */
static const char *sbatch_word(arena *a, const char *word) {
    if (*word && !word[strspn(word, plain)]) return word;
    jsontext t = {.arena = a};
    jsontext_put(&t, "\"");
    for (const char *p = word; *p; p++) {
        if (*p == '"' || *p == '\\') jsontext_put(&t, "\\");
        jsontext_printf(&t, "%c", *p);
    }
    jsontext_put(&t, "\"");
    return t.data;
}

/* The name of a task's log, in which % is a pattern. */
static const char *log_pattern(arena *a, const slurm_script *s) {
    jsontext t = {.arena = a};
    for (const char *p = s->log; *p; p++) jsontext_put(&t, *p == '%' ? "%%" : (char[]){*p, '\0'});
    jsontext_put(&t, "/slurm-%A_%a.log");
    return sbatch_word(a, t.data);
}

static void put_option(jsontext *t, const char *name, const char *value) {
    if (value) jsontext_printf(t, "#SBATCH --%s=%s\n", name, value);
}

static void put_number(jsontext *t, const char *name, long value, const char *unit) {
    if (value) jsontext_printf(t, "#SBATCH --%s=%ld%s\n", name, value, unit);
}

static void put_head(jsontext *t, const slurm_script *s) {
    arena *a = t->arena;
    put_option(t, "job-name", arena_printf(a, "mixgrid-%s", s->experiment));
    put_option(t, "array", arena_printf(a, "1-%d", s->shares));
    jsontext_put(t, "#SBATCH --nodes=1\n#SBATCH --ntasks=1\n");
    put_number(t, "cpus-per-task", s->cpus, "");
    put_number(t, "mem", s->mem_mib, "M");
    put_option(t, "mem", s->mem);
    if (s->gpus) put_option(t, "gres", arena_printf(a, "gpu:%ld", s->gpus));
    put_option(t, "time", s->time);
    put_option(t, "partition", s->partition ? sbatch_word(a, s->partition) : NULL);
    put_option(t, "account", s->account ? sbatch_word(a, s->account) : NULL);
    put_option(t, "signal", arena_printf(a, "B:USR2@%d", SLURM_NOTICE_S));
    jsontext_put(t, "#SBATCH --requeue\n#SBATCH --open-mode=append\n");
    put_option(t, "chdir", sbatch_word(a, s->folder));
    put_option(t, "output", log_pattern(a, s));
    if (s->extra) jsontext_printf(t, "#SBATCH %s\n", s->extra);
}

static void put_command(jsontext *t, const slurm_script *s) {
    arena *a = t->arena;
    jsontext_printf(t, "%s run %s", shell_word(a, s->program), shell_word(a, s->grid));
    for (int i = 0; i < s->n_arguments; i++) {
        jsontext_put(t, " ");
        jsontext_put(t, shell_word(a, s->argument[i]));
    }
    jsontext_printf(t, " \\\n    --db %s --share \"$SLURM_ARRAY_TASK_ID/%d\"", shell_word(a, s->db),
                    s->shares);
    if (!s->on_gpus) /* a processor's default is all cores of the machine, not of the task */
        jsontext_printf(t, " --workers \"${SLURM_CPUS_PER_TASK:-%ld}\"", s->cpus);
    jsontext_put(t, " &\n");
}

static status refuse(const char *what, const char *path, const char *why, error *e) {
    return error_set(e, STATUS_USAGE, "%s \"%.200s\" %s; Slurm cannot be given it, use another.",
                     what, path, why);
}

status slurm_script_text(const char **out, arena *a, const slurm_script *s, error *e) {
    const struct {
        const char *what, *value;
    } line[] = {{"the folder", s->folder},     {"the log folder", s->log}, {"--time", s->time},
                {"--partition", s->partition}, {"--account", s->account},  {"--sbatch", s->extra}};
    for (size_t i = 0; i < sizeof line / sizeof *line; i++)
        if (line[i].value && strchr(line[i].value, '\n'))
            return refuse(line[i].what, line[i].value, "has a line break", e);
    if (strchr(s->log, '\\')) return refuse("the log folder", s->log, "has a backslash", e);
    jsontext t = {.arena = a};
    jsontext_put(&t, "#!/bin/sh\n");
    put_head(&t, s);
    jsontext_printf(&t,
                    "# Task I trains share I of %d of experiment %s. What is done stays done: "
                    "it may be\n# submitted again.\n",
                    s->shares, s->experiment);
    jsontext_put(&t, "child= signalled=\n"
                     "stop() {\n"
                     "    signalled=yes\n"
                     "    [ -z \"$child\" ] || kill -USR2 \"$child\" 2>/dev/null\n"
                     "}\n"
                     "trap stop USR2 TERM\n");
    put_command(&t, s);
    jsontext_put(
        &t, "child=$!\n"
            "[ -z \"$signalled\" ] || stop\n"
            "wait \"$child\"\n"
            "status=$?\n"
            "while [ $status -gt 128 ] && kill -0 \"$child\" 2>/dev/null; do\n"
            "    wait \"$child\" # a signal had ended the wait before\n"
            "    status=$?\n"
            "done\n"
            "# A signal may have come before mixgrid was ready for it.\n"
            "[ -z \"$signalled\" ] || [ $status -le 128 ] || status=75\n"
            "if [ $status -eq 75 ]; then\n"
            "    # Not if the job was cancelled, or if Slurm queues it again by itself.\n"
            "    state=$(squeue --noheader --job=\"$SLURM_JOB_ID\" --format=%T) || state=RUNNING\n"
            "    [ \"$state\" != RUNNING ] || scontrol requeue \"$SLURM_JOB_ID\"\n"
            "fi\n"
            "exit $status\n");
    *out = t.data;
    return STATUS_OK;
}

/* Up to six digits; -1: none. Moves behind them. */
static long read_number(const char **p) {
    const char *from = *p;
    long n = 0;
    while (isdigit((unsigned char)**p) && *p - from < 6) n = 10 * n + *(*p)++ - '0';
    return *p == from ? -1 : n;
}

/* Behind D- hours come first, elsewhere a lone number is minutes and two are minutes and seconds.
 */
double slurm_time_s(const char *limit) {
    static const double unit[] = {3600, 60, 1}, day_s = 86400;
    const char *p = limit;
    const size_t first = strspn(limit, "0123456789");
    const bool has_days = limit[first] == '-';
    double part[3];
    int n = 0;
    const long days = has_days ? read_number(&p) : 0;
    if (days < 0 || (has_days && *p++ != '-')) return -1;
    do {
        const long number = read_number(&p);
        if (n == 3 || number < 0) return -1;
        part[n++] = (double)number;
    } while (*p == ':' && p++);
    if (*p) return -1;
    const double *of = has_days || n == 3 ? unit : unit + 1;
    double s = day_s * (double)days;
    for (int i = 0; i < n; i++) s += part[i] * of[i];
    return s;
}
