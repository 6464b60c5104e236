#include "proxy/admin/request.h"

#include <strings.h>

/* The line at *at without its end; false = no whole line. A lone LF ends a line too, as RFC 9112 allows. */
static bool next_line(struct span in, size_t *at, struct span *line_r)
{
	const uint8_t *start = in.p + *at, *end;
	size_t n;

	end = *at < in.n ? memchr(start, '\n', in.n - *at) : NULL;
	if (end == NULL)
		return false;
	n = (size_t)(end - start);
	*at += n + 1;
	if (n > 0 && start[n - 1] == '\r')
		n--;
	*line_r = span_of(start, n);
	return true;
}

static struct span cut_word(struct span *line)
{
	const uint8_t *space = line->n > 0 ? memchr(line->p, ' ', line->n) : NULL;
	size_t n = space != NULL ? (size_t)(space - line->p) : line->n;
	struct span word = span_of(line->p, n);

	*line = span_skip(*line, space != NULL ? n + 1 : n);
	return word;
}

static bool printable(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= 0x20 || s.p[i] >= 0x7f)
			return false;
	return s.n > 0;
}

/* GET /path?query HTTP/1.1: 0 or a status. */
static int parse_first(struct span line, struct request *r)
{
	struct span method = cut_word(&line), target = cut_word(&line), version = line;
	const uint8_t *query;

	if (!printable(method) || !printable(target) || version.n != 8 ||
	    memcmp(version.p, "HTTP/1.", 7) != 0)
		return 400;
	r->head_only = span_eq(method, span_str("HEAD"));
	if (!r->head_only && !span_eq(method, span_str("GET")))
		return 405;
	if (target.p[0] != '/')
		return 400;
	query = memchr(target.p, '?', target.n);
	r->path = span_of(target.p, query != NULL ? (size_t)(query - target.p) : target.n);
	return 0;
}

/* "Name: value"; only Accept matters. */
static bool parse_header(struct span line, struct request *r)
{
	const uint8_t *colon = memchr(line.p, ':', line.n);
	struct span name, value;

	if (colon == NULL)
		return false;
	name = span_of(line.p, (size_t)(colon - line.p));
	if (!printable(name))
		return false;
	value = span_skip(line, name.n + 1);
	if (name.n == 6 && strncasecmp((const char *)name.p, "accept", 6) == 0)
		r->accept = value;
	return true;
}

enum request_result request_parse(struct span in, struct request *r, int *status_r)
{
	struct request made = {0};
	struct span line;
	size_t at = 0;

	*status_r = 431;
	if (!next_line(in, &at, &line))
		return in.n >= REQUEST_MAX ? REQUEST_BAD : REQUEST_MORE;
	*status_r = parse_first(line, &made);
	/* Known already, and no need to wait for the rest of garbage. */
	if (*status_r != 0)
		return REQUEST_BAD;
	for (;;) {
		if (!next_line(in, &at, &line)) {
			*status_r = 431;
			return in.n >= REQUEST_MAX ? REQUEST_BAD : REQUEST_MORE;
		}
		if (line.n == 0)
			break;
		*status_r = 400;
		if (!parse_header(line, &made))
			return REQUEST_BAD;
	}
	if (at > REQUEST_MAX) {
		*status_r = 431;
		return REQUEST_BAD;
	}
	*r = made;
	return REQUEST_OK;
}

bool request_has_word(struct span text, const char *word)
{
	size_t n = strlen(word);

	for (size_t i = 0; i + n <= text.n; i++)
		if (strncasecmp((const char *)text.p + i, word, n) == 0)
			return true;
	return false;
}
