/* svg.c - gnuplot's svg made fit to be inlined in a page. See figure.h.
 *
 * Works on the text by a few fixed replacements: gnuplot's output is regular enough, and a reader
 * of XML would be far more code than these ten patterns. */
#include "figure.h"

typedef struct swap {
    const char *from, *to;
} swap;

/* What gnuplot writes about itself, tooltips named after plots, ids that collide when several
 * images stand in one page, and black, which a dark page must be able to turn. */
const char *svg_clean(arena *a, const char *svg, const char *id) {
    const swap table[] = {
        {"id='gp", arena_printf(a, "id='%s_gp", id)},
        {"'#gp", arena_printf(a, "'#%s_gp", id)},
        {"id='textbox'", arena_printf(a, "id='%s_textbox'", id)},
        {"id='greybox'", arena_printf(a, "id='%s_greybox'", id)},
        {"id=\"gnuplot_canvas\"", arena_printf(a, "id=\"%s_canvas\"", id)},
        {"\"black\"", "\"currentColor\""},
        {"'black'", "'currentColor'"},
        {"rgb(  0,   0,   0)", "currentColor"},
        {"rgb(254, 254, 254)", "var(--bg,#fff)"},
        {"'rgb(216, 216, 216)'", "'#808080' stroke-opacity='0.35'"},
        {"font-family=\"Liberation Sans\"",
         "font-family=\"Liberation Sans, Helvetica, Arial, sans-serif\""},
    };
    text t = text_new(a);
    while (*svg) {
        const char *end = NULL;
        if (strncmp(svg, "<title>", 7) == 0) end = strstr(svg, "</title>");
        if (strncmp(svg, "<desc>", 6) == 0) end = strstr(svg, "</desc>");
        if (end) {
            svg = strchr(end, '>') + 1;
            continue;
        }
        int i = 0, n = (int)(sizeof table / sizeof *table);
        while (i < n && strncmp(svg, table[i].from, strlen(table[i].from)) != 0) i++;
        if (i < n) {
            text_put(&t, table[i].to);
            svg += strlen(table[i].from);
        } else {
            int plain = 1 + (int)strcspn(svg + 1, "i'\"r<f");
            text_add(&t, "%.*s", plain, svg);
            svg += plain;
        }
    }
    return t.s;
}
