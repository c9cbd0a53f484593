/* diag_fixture.h - set-up and tear-down of tests that read text: an arena and its diagnostics. */
#pragma once
#include "harness/diag.h"

static arena *memory;
static diag *found;

static int start(void **state) {
    (void)state;
    memory = arena_new();
    found = diag_new(memory);
    return 0;
}

static int stop(void **state) {
    (void)state;
    arena_free(memory);
    return 0;
}
