/* map.c - see map.h. */
#include "map.h"

#include <stdint.h>
#include <string.h>

typedef struct slot {
    uint64_t hash;
    const void *key; /* NULL: free */
    long bytes;
    void *value;
} slot;

struct map {
    arena *arena;
    slot *slot; /* [cap] */
    long n, cap;
};

map *map_new(arena *a) {
    map *m = ARENA_NEW(a, map, 1);
    m->arena = a;
    m->cap = 16;
    m->slot = ARENA_NEW(a, slot, m->cap);
    return m;
}

static uint64_t hash_bytes(const unsigned char *key, long bytes) {
    uint64_t h = 0xcbf29ce484222325u;
    for (long i = 0; i < bytes; i++) h = (h ^ key[i]) * 0x100000001b3u;
    return h ^ h >> 32;
}

static slot *find(const map *m, uint64_t hash, const void *key, long bytes) {
    for (long i = (long)(hash & (uint64_t)(m->cap - 1));; i = (i + 1) & (m->cap - 1)) {
        slot *s = &m->slot[i];
        if (!s->key) return s;
        if (s->hash == hash && s->bytes == bytes && !memcmp(s->key, key, (size_t)bytes)) return s;
    }
}

static void grow(map *m) {
    const slot *old = m->slot;
    const long old_cap = m->cap;
    m->cap *= 4;
    m->slot = ARENA_NEW(m->arena, slot, m->cap);
    for (long i = 0; i < old_cap; i++)
        if (old[i].key) *find(m, old[i].hash, old[i].key, old[i].bytes) = old[i];
}

void **map_at(map *m, const void *key, long bytes) {
    if (3 * (m->n + 1) > 2 * m->cap) grow(m);
    const uint64_t hash = hash_bytes(key, bytes);
    slot *s = find(m, hash, key, bytes);
    if (!s->key) {
        *s = (slot){.hash = hash, .bytes = bytes};
        s->key = arena_regrow(m->arena, key, (size_t)bytes, (size_t)bytes + 1);
        m->n++;
    }
    return &s->value;
}

void **map_text(map *m, const char *key) { return map_at(m, key, (long)strlen(key)); }
