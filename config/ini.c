#include "config/ini.h"

#include "proxy/base/check.h"

#include <ctype.h>
#include <ini.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_BYTES_MAX (1 << 20)
#define DEPTH_MAX 10

/* inih ends a key at its first ':' or '='; PgBouncer at '=' only, and a quoted key may hold both. These
 * bytes stand for them on the way through inih; text_bad_byte() has seen to it that no file holds them. */
#define COLON_IN_KEY '\x01'
#define EQUALS_IN_KEY '\x02'

struct source {
	const char *file;
	const char *real; /* resolved path, to notice cycles; "" in memory */
	const char *at;
	const char *end;
	int line;
};

struct reader {
	struct text_pool *pool;
	struct ini_doc *doc;
	bool includes;
	struct source stack[DEPTH_MAX];
	unsigned depth;
	char *pending; /* the line being handed out, with its newline */
	size_t pending_left;
	bool failed;
	struct err *err;
};

static pthread_once_t switches_once = PTHREAD_ONCE_INIT;

static void set_switches(void)
{
	ini_allow_multiline = false;
	ini_allow_inline_comments = false;
	ini_allow_bom = true;
	ini_stop_on_first_error = true;
	ini_use_stack = false;
	ini_allow_realloc = true;
	ini_initial_alloc = 4096;
	ini_max_line = LINE_BYTES_MAX;
}

void ini_add(struct text_pool *pool, struct ini_doc *doc, struct ini_setting setting)
{
	if (doc->count == doc->room) {
		unsigned room = doc->room ? doc->room * 2 : 64;
		struct ini_setting *more = text_alloc(pool, room * sizeof *more);

		if (doc->count > 0)
			memcpy(more, doc->settings, doc->count * sizeof *more);
		doc->settings = more;
		doc->room = room;
	}
	doc->settings[doc->count++] = setting;
}

static struct source *top(struct reader *r)
{
	return &r->stack[r->depth - 1];
}

__attribute__((format(printf, 2, 3))) static int fail(struct reader *r, const char *fmt, ...)
{
	char why[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof why, fmt, ap);
	va_end(ap);
	r->failed = true;
	return err_set(r->err, "%s:%d: %s", top(r)->file, top(r)->line, why);
}

static int push(struct reader *r, const char *file, const char *real, const char *text, size_t n)
{
	int line;

	for (unsigned i = 0; i < r->depth; i++)
		if (*real != '\0' && strcmp(r->stack[i].real, real) == 0)
			return fail(r, "%s includes itself", file);
	if (r->depth == DEPTH_MAX)
		return fail(r, "%%include goes deeper than %d files", DEPTH_MAX);
	if (text_bad_byte(text, n, &line) != n) {
		r->failed = true;
		return err_set(r->err, "%s:%d: control character in the text", file, line);
	}
	if (n >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) {
		text += 3; /* a byte order mark; inih skips only the one of the first file */
		n -= 3;
	}
	r->stack[r->depth++] = (struct source){.file = file, .real = real, .at = text, .end = text + n};
	return 0;
}

/* As written, seen from the working directory; if there is none, beside the file that includes it. */
static const char *include_path(struct reader *r, const char *name)
{
	const char *slash = strrchr(top(r)->file, '/');

	if (*name == '/' || slash == NULL || access(name, F_OK) == 0)
		return name;
	return text_printf(r->pool, "%.*s/%s", (int)(slash - top(r)->file), top(r)->file, name);
}

static int include(struct reader *r, const char *name, size_t n)
{
	const char *path;
	struct err why;
	char *text, *real;
	size_t size;
	int rc;

	while (n > 0 && isspace((unsigned char)*name))
		name++, n--;
	while (n > 0 && isspace((unsigned char)name[n - 1]))
		n--;
	if (n == 0)
		return fail(r, "%%include needs a file name");
	if (!r->includes)
		return fail(r, "%%include is not possible here");
	path = include_path(r, text_dup(r->pool, name, n));
	if (text_read(r->pool, path, &text, &size, &why) != 0)
		return fail(r, "%%include: %s", why.text);
	real = realpath(path, NULL);
	rc = push(r, path, real != NULL ? text_dup_str(r->pool, real) : "", text, size);
	free(real);
	return rc;
}

/* Hides what is a separator to inih but not to us; see COLON_IN_KEY. line ends with a NUL. */
static void mask_key(char *line)
{
	char *p = line;
	bool quotes, inside;

	while (isspace((unsigned char)*p))
		p++;
	if (*p == ';' || *p == '#' || *p == '[')
		return;
	quotes = inside = *p == '"';
	p += quotes;
	for (; *p != '\0' && (inside || *p != '='); p++) {
		if (*p == '"' && quotes)
			inside = !inside; /* a doubled quote goes out and in again */
		else if (*p == ':')
			*p = COLON_IN_KEY;
		else if (*p == '=')
			*p = EQUALS_IN_KEY;
	}
}

/* The next line that is not an %include into r->pending; false at the end of everything or on an error. */
static bool next_line(struct reader *r)
{
	for (;;) {
		struct source *s = top(r);
		const char *end, *p;
		size_t n;

		if (s->at == s->end) {
			if (r->depth == 1)
				return false;
			r->depth--;
			continue;
		}
		end = memchr(s->at, '\n', (size_t)(s->end - s->at));
		n = (size_t)((end != NULL ? end : s->end) - s->at);
		p = s->at;
		s->at = end != NULL ? end + 1 : s->end;
		s->line++;
		if (n + 3 > LINE_BYTES_MAX) {
			fail(r, "line longer than %d bytes", LINE_BYTES_MAX);
			return false;
		}
		r->pending = text_alloc(r->pool, n + 2);
		memcpy(r->pending, p, n);
		if (strncmp(r->pending, "%include", 8) == 0 && (n == 8 || isspace((unsigned char)p[8]))) {
			if (include(r, p + 8, n - 8) != 0)
				return false;
			continue;
		}
		mask_key(r->pending);
		r->pending[n] = '\n';
		r->pending_left = n + 1;
		return true;
	}
}

/* inih's fgets. Every line ends with a newline, also the last one, so that inih never glues two together. */
static char *read_line(char *buf, int size, void *arg)
{
	struct reader *r = arg;
	size_t n;

	if (r->failed || size < 2 || (r->pending_left == 0 && !next_line(r)))
		return NULL;
	n = r->pending_left < (size_t)size - 1 ? r->pending_left : (size_t)size - 1;
	memcpy(buf, r->pending, n);
	buf[n] = '\0';
	r->pending += n;
	r->pending_left -= n;
	return buf;
}

/* Takes off the mask, and the double quotes of SQL if there are any. */
static int unmask_key(struct reader *r, char *key, bool *quoted_r)
{
	char *from, *to;

	for (char *p = key; *p != '\0'; p++)
		*p = *p == COLON_IN_KEY ? ':' : *p == EQUALS_IN_KEY ? '=' : *p;
	*quoted_r = *key == '"';
	if (!*quoted_r)
		return *key != '\0' ? 0 : fail(r, "there is no name before the =");
	for (from = key + 1, to = key; *from != '\0'; from++) {
		if (*from == '"' && *++from != '"')
			break;
		*to++ = *from;
	}
	if (from[-1] != '"' || *from != '\0' || to == key)
		return fail(r, "broken quotes in the name before the =");
	*to = '\0';
	return 0;
}

static int take(void *arg, const char *section, const char *name, const char *value)
{
	struct reader *r = arg;
	struct ini_setting s = {.file = top(r)->file, .line = top(r)->line};
	char *key = text_dup_str(r->pool, name);

	if (unmask_key(r, key, &s.quoted) != 0)
		return 0;
	s.section = text_dup_str(r->pool, section);
	s.key = key;
	s.value = text_dup_str(r->pool, value);
	ini_add(r->pool, r->doc, s);
	return 1;
}

int ini_read(struct text_pool *pool, const char *text, size_t n, const char *file, bool includes,
	     struct ini_doc *doc, struct err *err)
{
	struct reader r = {.pool = pool, .doc = doc, .includes = includes, .err = err};
	char *real = includes ? realpath(file, NULL) : NULL;
	const char *kept = real != NULL ? text_dup_str(pool, real) : "";
	int rc;

	free(real);
	pthread_once(&switches_once, set_switches);
	if (push(&r, text_dup_str(pool, file), kept, text, n) != 0)
		return -1;
	rc = ini_parse_stream(read_line, &r, take, &r);
	if (r.failed)
		return -1;
	if (rc < 0)
		return err_set(err, "no memory for %s", file);
	if (rc > 0)
		return fail(&r, "neither a section in brackets nor name = value");
	return 0;
}
