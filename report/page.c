/* page.c - a document as one self-contained HTML file: style, script and images inside, nothing
 * loaded from elsewhere, readable without the script, in light and dark, on paper. See document.h.
 */
#include "document.h"

static const char style_sheet[] =
    ":root{--fg:#1c1e21;--mute:#5d646e;--bg:#fff;--soft:#f5f6f8;--line:#d9dde3;--rule:#8a919c;"
    "--link:#0a5ea8;--warn:#8a4b00;--warnbg:#fff6e5}\n"
    "@media(prefers-color-scheme:dark){:root{--fg:#e4e6ea;--mute:#a0a7b2;--bg:#15171a;"
    "--soft:#1e2125;--line:#33383f;--rule:#6b7380;--link:#7ab8ff;--warn:#ffd08a;--warnbg:#33270f}}"
    "\n"
    "*{box-sizing:border-box}html{color-scheme:light dark;scroll-behavior:smooth}\n"
    "body{margin:0;color:var(--fg);background:var(--bg);font:16px/1.55 system-ui,-apple-system,"
    "'Segoe UI','Liberation Sans',Arial,sans-serif}\n"
    ".page{max-width:1120px;margin:0 auto;padding:40px 24px 96px}\n"
    "h1{font-size:2rem;line-height:1.2;margin:0 0 10px;letter-spacing:-.01em;"
    "overflow-wrap:anywhere}\n"
    "h2{font-size:1.35rem;margin:56px 0 16px;padding-bottom:6px;border-bottom:1px solid "
    "var(--line);scroll-margin-top:52px}\n"
    "p{max-width:76ch}.lead{display:grid;grid-template-columns:max-content minmax(0,80ch);gap:6px "
    "18px;margin:14px 0 20px}\n"
    ".lead dt{color:var(--mute);font-weight:600}.lead dd{margin:0}.lead dd.wide{grid-column:1/-1}\n"
    ".facts{display:flex;flex-wrap:wrap;gap:8px;padding:0;margin:0 0 8px;list-style:none}\n"
    ".facts li{background:var(--soft);border:1px solid var(--line);border-radius:999px;padding:2px "
    "12px;font-size:.86rem}\n"
    "nav{position:sticky;top:0;background:var(--bg);border-bottom:1px solid "
    "var(--line);z-index:2}\n"
    "nav div{max-width:1120px;margin:0 auto;padding:9px 24px;display:flex;flex-wrap:wrap;gap:4px "
    "20px;font-size:.88rem}\n"
    "a{color:var(--link);text-decoration:none}a:hover{text-decoration:underline}\n"
    "figure{margin:28px 0 40px}figcaption{max-width:96ch;font-size:.88rem;color:var(--mute);"
    "margin:0 0 10px}figcaption b{color:var(--fg)}\n"
    "figure.image figcaption{margin:8px 0 0}\n"
    "figure.image svg{max-width:100%;height:auto;display:block}\n"
    ".scroll{overflow-x:auto}\n"
    "table{border-collapse:collapse;font-size:.88rem;font-variant-numeric:tabular-nums;"
    "border-top:2px solid var(--rule);border-bottom:2px solid var(--rule)}\n"
    "th,td{padding:5px 10px;text-align:left;vertical-align:top}\n"
    "th{border-bottom:1px solid var(--rule);font-weight:600;white-space:nowrap}\n"
    "td.num,th.num{text-align:right;white-space:nowrap}\n"
    "tbody tr:hover{background:var(--soft)}tr.block td{border-top:1px solid var(--rule)}\n"
    "td{overflow-wrap:break-word}\n"
    "th button{all:unset;cursor:pointer}th button:focus-visible{outline:2px solid var(--link)}\n"
    "th[aria-sort] button::after{content:' \\25B4';color:var(--mute)}"
    "th[aria-sort=descending] button::after{content:' \\25BE'}\n"
    ".warning{background:var(--warnbg);color:var(--warn);border-left:4px solid currentColor;"
    "padding:8px 14px;max-width:none}\n"
    "details{margin:12px 0}summary{cursor:pointer;color:var(--link);font-size:.92rem}\n"
    "pre{background:var(--soft);border:1px solid var(--line);border-radius:6px;padding:12px 14px;"
    "overflow-x:auto;font:.82rem/1.45 ui-monospace,'Liberation Mono',Menlo,monospace}\n"
    "ul.check{max-width:96ch;padding-left:1.2em}ul.check li{margin:3px 0}\n"
    ".links{font-size:.82rem}\n"
    "@media print{nav{display:none}.page{max-width:none;padding:0}figure{break-inside:avoid}"
    "details>*{display:block}}\n";

/* Sorts a table by the clicked column: numbers by data-v, text by locale-free comparison; missing
 * values stay last in both directions. */
static const char script[] =
    "document.querySelectorAll('table.sortable').forEach(function(t){\n"
    "  var b=t.tBodies[0],h=Array.from(t.tHead.rows[0].cells);\n"
    "  h.forEach(function(c,k){c.firstChild.addEventListener('click',function(){\n"
    "    var up=c.getAttribute('aria-sort')!=='ascending',num=c.classList.contains('num');\n"
    "    h.forEach(function(x){x.removeAttribute('aria-sort')});\n"
    "    c.setAttribute('aria-sort',up?'ascending':'descending');\n"
    "    function key(r){var d=r.cells[k];if(!num)return d.textContent;\n"
    "      return d.hasAttribute('data-v')?parseFloat(d.getAttribute('data-v')):null}\n"
    "    Array.from(b.rows).map(function(r,i){return{r:r,i:i,k:key(r)}}).sort(function(x,y){\n"
    "      if(x.k===null||y.k===null)return (x.k===null)-(y.k===null)||x.i-y.i;\n"
    "      var d=x.k<y.k?-1:x.k>y.k?1:0;return (up?d:-d)||x.i-y.i})\n"
    "    .forEach(function(x){x.r.classList.remove('block');b.appendChild(x.r)})})})});\n";

/* Inlines the image and links the files it was made from. */
static void put_figure(text *t, const figure *f) {
    const char *svg = strstr(f->svg, "<svg");
    text_add(t, "<figure class=\"image\" id=\"fig-%s\">\n", f->id);
    if (svg) {
        /* The image says what it shows to those who cannot see it. */
        text_put(t, "<svg role=\"img\" aria-label=\"");
        text_html(t, f->title);
        text_put(t, "\"");
        text_put(t, svg + 4);
    }
    text_put(t, "<figcaption><b>");
    text_html(t, f->title);
    text_put(t, ".</b> ");
    text_html(t, f->caption);
    text_add(t,
             " <span class=\"links\"><a href=\"figures/%s.pdf\">pdf</a> <a "
             "href=\"figures/%s.png\">png</a> <a href=\"figures/%s.gp\">gnuplot</a> <a "
             "href=\"figures/%s.dat\">data</a></span></figcaption></figure>\n",
             f->id, f->id, f->id, f->id);
}

/* Opens a fold that the reader may open; the caller closes it. */
static void put_folded(text *t, const char *summary) {
    text_put(t, "<details><summary>");
    text_html(t, summary);
    text_put(t, "</summary>\n");
}

/* One block as HTML; every text through text_html. */
static void put_block(text *t, const block *b) {
    switch (b->kind) {
    case BLOCK_HEADING:
        text_add(t, "<h2 id=\"%s\">", text_slug(t->arena, b->title));
        text_html(t, b->title);
        text_put(t, "</h2>\n");
        break;
    case BLOCK_TEXT:
    case BLOCK_WARNING:
        text_put(t, b->kind == BLOCK_TEXT ? "<p>" : "<p class=\"warning\">");
        text_html(t, b->text);
        text_put(t, "</p>\n");
        break;
    case BLOCK_LIST:
        text_put(t, "<ul class=\"check\">\n");
        for (int i = 0; i < b->n; i++) {
            text_put(t, "<li>");
            text_html(t, b->item[i]);
            text_put(t, "</li>\n");
        }
        text_put(t, "</ul>\n");
        break;
    case BLOCK_TABLE:
        if (b->folded)
            put_folded(t, arena_printf(t->arena, "%s (%d)", b->table->title, b->table->n_row));
        table_render(t, b->table, TABLE_HTML, false);
        if (b->folded) text_put(t, "</details>\n");
        break;
    case BLOCK_FIGURE: put_figure(t, b->figure); break;
    case BLOCK_CODE:
        put_folded(t, b->title);
        text_put(t, "<pre>");
        text_html(t, b->text);
        text_put(t, "</pre></details>\n");
        break;
    }
}

/* A list of terms where the comment has terms; a paragraph without one stands across. */
static void put_lead(text *t, const document *d) {
    if (d->n_lead == 0) return;
    text_put(t, "<dl class=\"lead\">\n");
    for (int i = 0; i < d->n_lead; i++) {
        if (d->lead[i].term) {
            text_put(t, "<dt>");
            text_html(t, d->lead[i].term);
            text_put(t, "</dt>");
        }
        text_put(t, d->lead[i].term ? "<dd>" : "<dd class=\"wide\">");
        text_html(t, d->lead[i].text);
        text_put(t, "</dd>\n");
    }
    text_put(t, "</dl>\n");
}

const char *document_html(const document *d) {
    text t = text_new(d->arena);
    text_put(&t, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n<meta "
                 "name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<title>");
    text_html(&t, d->title);
    text_put(&t, "</title>\n<style>\n");
    text_put(&t, style_sheet);
    text_put(&t, "</style></head><body>\n<nav><div>");
    for (int i = 0; i < d->n; i++) {
        if (d->block[i].kind != BLOCK_HEADING) continue;
        text_add(&t, "<a href=\"#%s\">", text_slug(d->arena, d->block[i].title));
        text_html(&t, d->block[i].title);
        text_put(&t, "</a>");
    }
    text_put(&t, "</div></nav>\n<main class=\"page\">\n<h1>");
    text_html(&t, d->title);
    text_put(&t, "</h1>\n");
    put_lead(&t, d);
    text_put(&t, "<ul class=\"facts\">");
    for (int i = 0; i < d->n_fact; i++) {
        text_put(&t, "<li>");
        text_html(&t, d->fact[i]);
        text_put(&t, "</li>");
    }
    text_put(&t, "</ul>\n");
    for (int i = 0; i < d->n; i++) put_block(&t, &d->block[i]);
    text_put(&t, "</main>\n<script>\n");
    text_put(&t, script);
    text_put(&t, "</script></body></html>\n");
    return t.s;
}
