/* markdown.c - a document as GitHub-flavoured Markdown. See document.h.
 *
 * Figures are linked, not inlined: Markdown is read in a repository beside its files, and most
 * readers strip svg from the text. */
#include "document.h"

/* A fence longer than any run of back-quotes in the text. */
static const char *fence_for(arena *a, const char *s) {
    int longest = 2, run = 0;
    for (; *s; s++) {
        run = *s == '`' ? run + 1 : 0;
        if (run > longest) longest = run;
    }
    char *fence = arena_alloc(a, (size_t)longest + 2);
    memset(fence, '`', (size_t)longest + 1);
    return fence;
}

/* One block as Markdown; every text but code through text_markdown. */
static void put_block(text *t, const block *b) {
    switch (b->kind) {
    case BLOCK_HEADING: text_add(t, "## %s\n\n", b->title); break;
    case BLOCK_TEXT:
        text_markdown(t, b->text);
        text_put(t, "\n\n");
        break;
    case BLOCK_WARNING:
        text_put(t, "> **Note.** ");
        text_markdown(t, b->text);
        text_put(t, "\n\n");
        break;
    case BLOCK_LIST:
        for (int i = 0; i < b->n; i++) {
            text_put(t, "- ");
            text_markdown(t, b->item[i]);
            text_put(t, "\n");
        }
        text_put(t, "\n");
        break;
    case BLOCK_TABLE:
        table_render(t, b->table, TABLE_MARKDOWN, false);
        text_put(t, "\n");
        break;
    case BLOCK_FIGURE:
        text_put(t, "![");
        text_markdown(t, b->figure->title);
        text_add(t, "](figures/%s.svg)\n\n**", b->figure->id);
        text_markdown(t, b->figure->title);
        text_put(t, ".** ");
        text_markdown(t, b->figure->caption);
        text_put(t, "\n\n");
        break;
    case BLOCK_CODE: {
        const char *fence = fence_for(t->arena, b->text);
        text_markdown(t, b->title);
        text_add(t, ":\n\n%s\n%s\n%s\n\n", fence, b->text, fence);
        break;
    }
    }
}

const char *document_markdown(const document *d) {
    text t = text_new(d->arena);
    text_put(&t, "# ");
    text_markdown(&t, d->title);
    text_put(&t, "\n\n");
    for (int i = 0; i < d->n_lead; i++) {
        if (d->lead[i].term) {
            text_put(&t, "**");
            text_markdown(&t, d->lead[i].term);
            text_put(&t, ":** ");
        }
        text_markdown(&t, d->lead[i].text);
        text_put(&t, "\n\n");
    }
    for (int i = 0; i < d->n_fact; i++) text_add(&t, "%s%s", i ? " · " : "", d->fact[i]);
    text_put(&t, "\n\n");
    for (int i = 0; i < d->n; i++) put_block(&t, &d->block[i]);
    return t.s;
}
