/* place_fixture.h - each test of a file gets a folder of its own, p, which is removed after it. */
#pragma once
#include "store_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static place p;

static inline int place_setup(void **state) {
    (void)state;
    p = place_new();
    return 0;
}

static inline int place_teardown(void **state) {
    (void)state;
    place_remove(&p);
    return 0;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, place_setup, place_teardown)
