/* completion.h - what a shell completes: commands, options, topics, names of mixers and tasks. */
#pragma once

/* A script for bash on stdout, which zsh takes after bashcompinit. Commands, topics and names are
 * those of this build; options are asked from `mixgrid COMMAND --help` while completing, so that
 * they are those of the program that runs. */
void completion_print(const char *const *topic, int n_topics);
