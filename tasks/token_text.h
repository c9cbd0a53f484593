/* token_text.h - where a text is cut into tokens: bytes, characters or words.
 *
 * byte  every byte.
 * char  every code point of strict UTF-8 (no overlong forms, no surrogates, at most U+10FFFF); a
 *       byte that begins no valid sequence is a character of its own, sorted after all others.
 * word  every run of bytes other than ASCII white space, and <eos> at the end of every line, blank
 *       ones too (the WikiText convention). A last line without a newline counts as a line; an
 *       empty text has none. */
#pragma once
#include <stdbool.h>
#include <stdio.h>

typedef enum token_rule { TOKEN_BYTE, TOKEN_CHAR, TOKEN_WORD } token_rule;

extern const char *const token_rule_name[]; /* "byte", "char", "word" */

typedef struct token_span {
    const char *text; /* [n] bytes, no terminator */
    long n;
} token_span;

typedef struct token_cursor {
    const char *text; /* [end] */
    long at, end;
    bool line_closed; /* the last line without a newline has had its <eos> */
} token_cursor;

/* The next token whose first byte lies before `cut` (<eos>: whose newline does). False: none. A
 * token is never cut in two: reading up to a cut and on from there gives the tokens of the whole.
 */
bool token_next(token_span *out, token_cursor *c, token_rule rule, long cut);

enum { NOT_UTF8 = 0x110000 };

/* Code point at text [n], n >= 1, and its bytes in *used; NOT_UTF8 + byte when there is none. */
int utf8_read(long *used, const char *text, long n);

/* Whitespace words of text [n]. */
long word_count(const char *text, long n);

/* Prints text [n] for reading: \n \t \r \" \\ and \xHH for control characters and bytes that are
 * no UTF-8, in lines of about 80 columns, all but the first indented. */
void text_print(FILE *file, const char *text, long n, int indent);
