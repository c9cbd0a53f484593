/* completion.c - see completion.h. */
#include "completion.h"

#include "catalog.h"
#include "cli.h"

#include <stdio.h>

static void print_names(const char *what, const char *const *name, int n) {
    printf("    local %s=\"", what);
    for (int i = 0; i < n; i++) printf("%s%s", i ? " " : "", name[i]);
    printf("\"\n");
}

void completion_print(const char *const *topic, int n_topics) {
    arena *a = arena_new();
    const int most = n_commands + n_mixers + n_ffns + n_tasks;
    const char **name = ARENA_NEW(a, const char *, most);
    int n = 0;
    printf("# Completion of mixgrid for bash: source <(mixgrid help completion)\n"
           "# for zsh: autoload -U bashcompinit && bashcompinit, then the same.\n"
           "_mixgrid() {\n"
           "    local word=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]} words=\n");
    for (int i = 0; i < n_commands; i++) name[n++] = commands[i].name;
    print_names("commands", name, n);
    print_names("topics", topic, n_topics);
    n = 0;
    for (int i = 0; i < n_mixers; i++) name[n++] = mixers[i]->name;
    for (int i = 0; i < n_ffns; i++) name[n++] = ffns[i]->name;
    print_names("mixers", name, n);
    n = 0;
    for (int i = 0; i < n_tasks; i++) name[n++] = tasks[i]->name;
    print_names("tasks", name, n);
    printf("    case $COMP_CWORD:$command:${COMP_WORDS[2]} in\n"
           "    1:*) words=$commands ;;\n"
           "    2:help:*) words=\"$commands $topics\" ;;\n"
           "    3:help:mixer) words=$mixers ;;\n"
           "    3:help:task | 3:task:*) words=$tasks ;;\n"
           "    2:task:*) words='show export' ;;\n"
           "    2:theory:*) words='T1 T2 T3 T4' ;;\n"
           "    esac\n"
           "    case $word in\n"
           "    -*) words=\"--help $(\"${COMP_WORDS[0]}\" \"$command\" --help 2>/dev/null |\n"
           "        sed -n 's/^  \\(--[a-z0-9-]*\\).*/\\1/p')\" ;;\n"
           "    esac\n"
           "    # shellcheck disable=SC2207 # zsh has no mapfile\n"
           "    COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n"
           "}\n"
           "complete -o default -F _mixgrid mixgrid\n");
    arena_free(a);
}
