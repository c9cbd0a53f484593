/* map.h - a hash table from bytes to pointers, in an arena.
 *
 * Never iterated, so hash order and addresses reach no result. Open addressing, FNV-1a, grows at
 * two thirds full; keys are copied. */
#pragma once
#include "kernels/core/arena.h"

typedef struct map map;

map *map_new(arena *a);
/* The place of a key's pointer, made NULL when the key is new; valid until the next call. */
void **map_at(map *m, const void *key, long bytes);
void **map_text(map *m, const char *key);
