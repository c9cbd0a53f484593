/* style.h - colour, marker and dash of a series.
 *
 * Okabe-Ito colours without yellow (which vanishes on white). A known mixer looks the same in every
 * figure of every experiment; others take the free looks in the order of their names. Marker and
 * dash repeat what the colour says, for print and for colour-blind readers. */
#pragma once
#include "record.h"

typedef struct style {
    const char *colour; /* "#D55E00" */
    int marker, dash;   /* gnuplot's pointtype and dashtype */
} style;

/* The look of a mixer of this record; `variation` > 0 keeps the colour and changes the rest. */
style style_mixer(const record *r, const char *mixer, int variation);
/* The look of the `index`-th of some values that are not mixers. */
style style_plain(int index);
