/* pack.c - see pack.h. */
#include "pack.h"

pack pack_like(const pack *p, int most, arena *a) {
    pack like = *p;
    like.n = 0;
    like.cell = ARENA_NEW(a, const grid_cell *, most);
    like.attempt = ARENA_NEW(a, long, most);
    return like;
}

void pack_add(pack *to, const pack *from, int i) {
    to->cell[to->n] = from->cell[i];
    to->attempt[to->n++] = from->attempt[i];
}
