/* settings.h - the settings of a task as its field table sees them. */
#pragma once
#include "tasks/task.h"

/* A copy of `config` in `a` with the field `length` replaced (0: kept). Then checks every number
 * against the range of its field. NULL and a sentence when a value is out of range, or when a
 * length is asked of a task that has none. */
const void *settings_copy(arena *a, const task *t, const void *config, long length, error *e);

/* Canonical text of all settings that change the data, one "name=value" per line after the task's
 * name: two configurations give the same text exactly when they ask for the same data. */
const char *settings_text(arena *a, const task *t, const void *config);
