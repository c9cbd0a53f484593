/* style.c - see style.h.
 *
 * Looks are fixed by name and not dealt out by order, because readers compare figures of different
 * experiments: attention is black in all of them. */
#include "style.h"

#define BLACK     "#000000"
#define ORANGE    "#E69F00"
#define SKY       "#56B4E9"
#define GREEN     "#009E73"
#define BLUE      "#0072B2"
#define VERMILION "#D55E00"
#define PURPLE    "#CC79A7"

/* gnuplot's point types: 4 square, 6 circle, 8 triangle, 10 inverted triangle, 12 diamond, 14
 * pentagon; the next odd number is the filled form. */
static const struct {
    const char *mixer;
    style look;
} known[] = {
    {"attention", {BLACK, 7, 1}},
    {"cat", {VERMILION, 5, 1}},
    {"lcat", {ORANGE, 4, 2}},
    {"mamba", {BLUE, 9, 1}},
    {"mamba2", {SKY, 8, 2}},
    {"linear", {GREEN, 13, 1}},
    {"based", {PURPLE, 11, 1}},
    {"hyena", {ORANGE, 15, 1}},
    {"performer", {GREEN, 12, 2}},
    {"retnet", {PURPLE, 10, 2}},
    {"gated_deltanet", {SKY, 13, 1}},
    {"deltanet", {SKY, 12, 3}},
    {"rwkv6", {GREEN, 15, 4}},
    {"rwkv4", {GREEN, 14, 3}},
    {"h3", {ORANGE, 9, 3}},
    {"gconv", {BLUE, 5, 3}},
    {"baseconv", {BLUE, 4, 2}},
    {"convsamba", {VERMILION, 13, 2}},
    {"convtransformer", {BLACK, 4, 2}},
    {"convplus", {PURPLE, 5, 3}},
    {"acmix", {PURPLE, 14, 4}},
    {"conv", {BLUE, 7, 4}},
};

static const char *const colours[] = {BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK};
static const int markers[] = {7, 5, 9, 13, 11, 15, 6, 4, 8, 12, 10, 14};
enum { N_COLOUR = 7, N_MARKER = 12, N_DASH = 5, N_KNOWN = (int)(sizeof known / sizeof *known) };

style style_plain(int index) {
    return (style){colours[index % N_COLOUR], markers[index % N_MARKER],
                   1 + index / N_COLOUR % N_DASH};
}

/* The fixed look of a mixer, or NULL. */
static const style *known_style(const char *mixer) {
    for (int k = 0; k < N_KNOWN; k++)
        if (strcmp(known[k].mixer, mixer) == 0) return &known[k].look;
    return NULL;
}

/* Place of an unknown mixer among the unknown ones, by name. */
static int unknown_rank(const record *r, const char *mixer) {
    int rank = 0;
    for (int i = 0; i < r->n_run; i++) {
        const char *other = r->run[i].mixer;
        bool counted = strcmp(other, mixer) >= 0 || known_style(other);
        for (int j = 0; j < i; j++) counted |= strcmp(other, r->run[j].mixer) == 0;
        rank += !counted;
    }
    return rank;
}

/* Unknown mixers take the colours that no known mixer of the record has, as long as there are. */
static style unknown_style(const record *r, const char *mixer) {
    const char *free_colour[N_COLOUR];
    int n = 0, rank = unknown_rank(r, mixer);
    for (int k = 0; k < N_COLOUR; k++) {
        bool taken = false;
        for (int i = 0; i < r->n_run; i++) {
            const style *look = known_style(r->run[i].mixer);
            taken |= look && strcmp(look->colour, colours[k]) == 0;
        }
        if (!taken) free_colour[n++] = colours[k];
    }
    style look = style_plain(rank);
    if (n) look.colour = free_colour[rank % n];
    look.dash = 4;
    return look;
}

style style_mixer(const record *r, const char *mixer, int variation) {
    const style *own = known_style(mixer);
    style look = own ? *own : unknown_style(r, mixer);
    if (variation > 0) {
        /* Filled and open forms alternate, so that neighbours differ most. */
        int at = 0;
        while (markers[at] != look.marker && at + 1 < N_MARKER) at++;
        look.marker = markers[(at + 6 * (variation % 2) + variation / 2) % N_MARKER];
        look.dash = 1 + (look.dash - 1 + variation) % N_DASH;
    }
    return look;
}
