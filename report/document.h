/* document.h - a report as a list of blocks: composed once, written as HTML and as Markdown. */
#pragma once
#include "request.h"
#include "table.h"

typedef enum block_kind {
    BLOCK_HEADING, /* title */
    BLOCK_TEXT,    /* one paragraph */
    BLOCK_WARNING, /* one paragraph that must not be missed */
    BLOCK_LIST,    /* items */
    BLOCK_TABLE,
    BLOCK_FIGURE,
    BLOCK_CODE, /* text as it is, under a title, folded */
} block_kind;

typedef struct block {
    block_kind kind;
    const char *title, *text;
    const char **item; /* [n] */
    int n;
    const table *table;
    const figure *figure;
    bool folded;
} block;

/* A paragraph of the lead; "Cost: 2 minutes" is {"Cost", "2 minutes"}, other text has no term. */
typedef struct lead_item {
    const char *term, *text;
} lead_item;

typedef struct document {
    arena *arena;
    const char *title;
    lead_item *lead; /* [n_lead] what the experiment asks, in the grid file's words */
    int n_lead, cap_lead;
    const char **fact; /* short facts under the title: "162 runs", "4 diverged" */
    int n_fact, cap_fact;
    block *block;
    int n, cap;
} document;

/* Everything a report says, in order. figures: those that were drawn (svg may be NULL then they are
 * named as missing); missing_figures: why there are none, or NULL. */
document *document_compose(arena *a, const choice *c, const table_list *tables,
                           const table *published, const figure_list *figures,
                           const char *missing_figures);

const char *document_html(const document *d);
const char *document_markdown(const document *d);
