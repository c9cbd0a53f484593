/* main.c - finds the command, prints the one sentence when it fails. */
#include "cli.h"
#include "suggest.h"

#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static status unknown_command(const char *name, error *e) {
    const char *names[64], *ending = strrchr(name, '.');
    if (strchr(name, '/') || (ending && (!strcmp(ending, ".yaml") || !strcmp(ending, ".yml"))))
        return error_set(e, STATUS_USAGE,
                         "there is no command %s; a grid file is trained with mixgrid run %s.",
                         name, name);
    for (int i = 0; i < n_commands; i++) names[i] = commands[i].name;
    const char *near = suggest_name(name, names, n_commands);
    return error_set(e, STATUS_USAGE, "there is no command %s%s%s; see mixgrid help.", name,
                     near ? ", did you mean " : "", near ? near : "");
}

int main(int argc, char **argv) {
    error e = {0};
    status s;
    /* a file opened as number 0, 1 or 2 would be written to by every message */
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd) return STATUS_ENVIRONMENT;
    json_set_alloc_funcs(alloc_or_exit, free); /* a text that is NULL for want of memory is none */
    const char *name = argc > 1 ? argv[1] : "help";
    if (!strcmp(name, "--help") || !strcmp(name, "-h")) name = "help";
    if (!strcmp(name, "--version")) name = "doctor";
    const command *c = command_find(name);
    if (c) {
        char *only_name[] = {(char *)c->name, NULL};
        s = argc > 1 ? c->run(argc - 1, argv + 1, &e) : c->run(1, only_name, &e);
    } else {
        s = unknown_command(name, &e);
    }
    if (cli_flush(&e) && !s) s = e.code;
    if (e.code && e.text[0]) fprintf(stderr, "mixgrid: error: %s\n", e.text);
    return (int)s;
}
