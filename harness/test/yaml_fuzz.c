/* yaml_fuzz.c - any bytes as YAML.
 *
 * A tree is as deep and as large as yaml.h allows. Written as JSON, which is YAML, it reads the
 * same. Every error has a place. */
#include "harness/value.h"
#include "kernels/test/fuzz.h"

static int weigh(const yaml *y, int depth) {
    int weight = 1;
    CHECK(depth <= YAML_MAX_DEPTH);
    CHECK(y->at.line >= 1 && y->at.column >= 1);
    const bool collection = y->kind == YAML_LIST || y->kind == YAML_MAP;
    CHECK(collection == !y->text);
    for (int i = 0; i < y->n; i++) {
        if (y->kind == YAML_MAP) CHECK(yaml_get(y, y->key[i]) == y->item[i]);
        weight += weigh(y->item[i], depth + 1);
    }
    CHECK(weight <= YAML_MAX_NODES);
    return weight;
}

static void check_same(const yaml *x, const yaml *y) {
    if (x->kind == YAML_REAL) { /* 1e3 is written as 1000, and infinity as text; see value.h */
        CHECK(y->kind == YAML_TEXT ? !(x->real - x->real == 0) : x->real == y->real);
        return;
    }
    CHECK(x->kind == y->kind && x->n == y->n);
    switch (x->kind) {
    case YAML_NULL: break;
    case YAML_BOOL: CHECK(x->boolean == y->boolean); break;
    case YAML_INT: CHECK(x->integer == y->integer); break;
    case YAML_REAL: break;
    case YAML_TEXT: CHECK(!strcmp(x->text, y->text)); break;
    case YAML_LIST:
    case YAML_MAP:
        for (int i = 0; i < x->n; i++) {
            if (x->kind == YAML_MAP) CHECK(!strcmp(x->key[i], y->key[i]));
            check_same(x->item[i], y->item[i]);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size > FUZZ_MAX_BYTES) return 0;
    arena *a = arena_new();
    diag *d = diag_new(a);
    const yaml *y = yaml_read_text(a, (const char *)data, (long)size, "input", d);
    CHECK(y || diag_errors(d));
    for (int i = 0; diag_line(d, i); i++) CHECK(!strncmp(diag_line(d, i), "input:", 6));
    if (y && !diag_errors(d) && weigh(y, 0) < 4096) { /* aliases: large trees of small files */
        text_buffer json = {.arena = a};
        buffer_add_yaml(&json, y);
        const yaml *again = yaml_read_text(a, json.text, json.n, "json", d);
        if (!again || diag_errors(d)) BUG("%s", diag_line(d, 0));
        check_same(y, again);
    }
    arena_free(a);
    return 0;
}
