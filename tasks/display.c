/* display.c - see display.h. */
#include "tasks/display.h"

#include <math.h>

enum { PER_ROW = 16 };

int bucket_of(long value) {
    int bucket = 1;
    if (value <= 0) return 0;
    while (bucket <= value / 2) bucket *= 2;
    return bucket;
}

void slice_set(const task_set *s, const task_example *x, int which, int t, int value) {
    if (x->slice) x->slice[(long)which * s->time + t] = value;
}

double log2_falling(long n, long k) {
    double bits = 0;
    if (k > n) return -HUGE_VAL;
    for (long i = 0; i < k; i++) bits += log2((double)(n - i));
    return bits;
}

static const char *role_at(const task_set *s, const task_example *x, role_rule *role, int t) {
    const char *text = role ? role(s, x, t) : NULL;
    return text ? text : "";
}

static bool row_is_filler(const task_set *s, const task_example *x, role_rule *role, int t) {
    if (!role || t + PER_ROW > s->time) return false;
    for (int i = t; i < t + PER_ROW; i++)
        if (*role_at(s, x, role, i) || x->labels[i] >= 0) return false;
    return true;
}

static void show_row(FILE *file, const task_set *s, const task_example *x, role_rule *role, int t) {
    int end = t + PER_ROW < s->time ? t + PER_ROW : s->time, roles = t, scored = t;
    for (int i = t; i < end; i++) { /* rows end at their last entry */
        if (*role_at(s, x, role, i)) roles = i + 1;
        if (x->labels[i] >= 0) scored = i + 1;
    }
    fprintf(file, "position");
    for (int i = t; i < end; i++) fprintf(file, " %5d", i);
    fprintf(file, "\ntoken   ");
    for (int i = t; i < end; i++) fprintf(file, " %5d", x->ids[i]);
    if (roles > t) fprintf(file, "\nrole    ");
    for (int i = t; i < roles; i++) fprintf(file, " %5s", role_at(s, x, role, i));
    if (scored > t) fprintf(file, "\nlabel   ");
    for (int i = t; i < scored; i++)
        if (x->labels[i] >= 0)
            fprintf(file, " %5d", x->labels[i]);
        else
            fprintf(file, " %5s", "");
    fprintf(file, "\n\n");
}

void show_columns(FILE *file, const task_set *s, const task_example *x, role_rule *role) {
    for (int t = 0; t < s->time;) {
        int skipped = t;
        while (t < s->time && row_is_filler(s, x, role, t)) t += PER_ROW;
        if (t > skipped) fprintf(file, "... %d filler tokens ...\n\n", t - skipped);
        if (t < s->time) show_row(file, s, x, role, t);
        t += PER_ROW;
    }
}

void task_show(const task_set *s, const task_example *x, void *file) {
    if (s->task->show)
        s->task->show(s, x, file);
    else
        show_columns(file, s, x, NULL);
}
