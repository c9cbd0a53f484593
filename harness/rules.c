/* rules.c - reads `early_terminate`; halving.c does what it says. */
#include "sheet.h"

#include <stdlib.h>
#include <string.h>

/* What every validation records, or of text tasks. */
static const char *const metrics[] = {"loss", "token_acc", "seq_acc", "ppl", "bpb", "word_ppl"};
enum { N_METRIC = sizeof metrics / sizeof *metrics };

void sheet_refuse_hyperband(const sheet *s, const yaml *y, place at) {
    const yaml *eta = yaml_get(y, "eta"), *metric = yaml_get(s->root, "metric"),
               *goal = metric ? yaml_get(metric, "goal") : NULL;
    const bool max = goal && goal->text && !strcmp(goal->text, "maximize");
    diag_error(s->diag, at,
               "early_terminate of W&B (hyperband) stops runs by when they happen to get there; "
               "remove it, or write a grid file with select: {over: [train.lr], by: val/%s} and "
               "early_terminate: {by: val/%s, mode: %s, keep: 1/%ld, at: [0.25, 0.5]}, which "
               "compares all runs at the same steps",
               max ? "token_acc" : "loss", max ? "token_acc" : "loss", max ? "max" : "min",
               eta && eta->kind == YAML_INT && eta->integer > 1 ? eta->integer : 3);
}

/* "0.5" or "1/3", between 0 and 1; 0 after an error. */
static double read_fraction(const sheet *s, const yaml *y, const char *what) {
    char *end = NULL;
    double x = y->kind == YAML_INT || y->kind == YAML_REAL ? y->real : 0;
    if (y->kind == YAML_TEXT) {
        x = strtod(y->text, &end);
        if (*end == '/') x /= strtod(end + 1, &end);
        if (*end) x = 0;
    }
    if (x > 0 && x < 1) return x;
    diag_error(s->diag, y->at, "early_terminate.%s is a number between 0 and 1, such as 0.5 or 1/3",
               what);
    return 0;
}

static void read_at(halving_rules *out, const sheet *s, const yaml *y) {
    const bool list = y->kind == YAML_LIST;
    const int n = list ? y->n : 1;
    double *at = ARENA_NEW(s->arena, double, n);
    for (int i = 0; i < n; i++) {
        const yaml *item = list ? y->item[i] : y;
        at[i] = read_fraction(s, item, "at");
        if (i && at[i] > 0 && at[i] <= at[i - 1])
            diag_error(s->diag, item->at, "early_terminate.at must rise");
    }
    if (!n) diag_error(s->diag, y->at, "early_terminate.at is a list of shares of the steps");
    out->at = at;
    out->n_at = n;
}

static void read_over(halving_rules *out, const sheet *s, const yaml *over) {
    const bool list = over->kind == YAML_LIST;
    const int n = list ? over->n : 1;
    const char **key = ARENA_NEW(s->arena, const char *, n);
    for (int i = 0; i < n; i++) {
        const char *text = list ? over->item[i]->text : over->text;
        key[i] = text ? text : "";
    }
    out->over = key;
    out->n_over = n;
}

static void read_by(halving_rules *out, const sheet *s, const yaml *by, const yaml *mode) {
    for (int i = 0; by->text && !strncmp(by->text, "val/", 4) && i < N_METRIC; i++)
        if (!strcmp(by->text + 4, metrics[i])) out->metric = metrics[i];
    if (!out->metric)
        diag_error(s->diag, by->at,
                   "early_terminate.by is what a validation records: val/loss, val/token_acc, "
                   "val/seq_acc, val/ppl, val/bpb or val/word_ppl");
    const char *word = mode && mode->text ? mode->text : "max";
    out->max = !strcmp(word, "max");
    if (!out->max && strcmp(word, "min"))
        diag_error(s->diag, mode->at, "early_terminate.mode is max or min");
}

const halving_rules *sheet_halving(const sheet *s) {
    static const char *const known[] = {"by", "mode", "keep", "at"};
    const yaml *y =
        s->root && s->root->kind == YAML_MAP ? yaml_get(s->root, "early_terminate") : NULL;
    if (!y || yaml_get(s->root, "parameters")) return NULL; /* wandb.c refuses its own */
    if (yaml_get(y, "type")) {
        sheet_refuse_hyperband(s, y, y->at);
        return NULL;
    }
    for (int i = 0; y->kind == YAML_MAP && i < y->n; i++) {
        bool found = false;
        for (int k = 0; k < 4; k++) found |= !strcmp(y->key[i], known[k]);
        if (!found)
            diag_error(s->diag, y->key_at[i],
                       "unknown key %.100s; early_terminate has by, mode, keep and at", y->key[i]);
    }
    const yaml *select = yaml_get(s->root, "select"), *by = yaml_get(y, "by"),
               *mode = yaml_get(y, "mode"), *keep = yaml_get(y, "keep"), *at = yaml_get(y, "at"),
               *over = select ? yaml_get(select, "over") : NULL;
    if (y->kind != YAML_MAP || !keep || !at) {
        diag_error(s->diag, y->at,
                   "early_terminate is a map with keep and at, such as {by: val/token_acc, mode: "
                   "max, keep: 0.5, at: [0.25, 0.5]}");
        return NULL;
    }
    if (!over) {
        diag_error(s->diag, y->at,
                   "early_terminate compares the settings that select.over chooses from; add "
                   "select: {over: [train.lr], by: val/token_acc}");
        return NULL;
    }
    if (!by) by = yaml_get(select, "by");
    if (!mode) mode = yaml_get(select, "mode");
    halving_rules *out = ARENA_NEW(s->arena, halving_rules, 1);
    *out = (halving_rules){0};
    if (by) read_by(out, s, by, mode);
    out->keep = read_fraction(s, keep, "keep");
    read_at(out, s, at);
    read_over(out, s, over);
    return out;
}
