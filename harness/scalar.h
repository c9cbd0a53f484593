/* scalar.h - what a plain YAML scalar is, by the core schema of YAML 1.2 and nothing else. */
#pragma once
#include "yaml.h"

/* Sets kind, boolean, integer, real and doubt from y->text. */
void scalar_classify(arena *a, yaml *y);
