#include "proxy/base/log_line.h"

#include "proxy/base/utf8.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Kept free for what closes the line: a quote, `,"cut":true`, a brace, a newline. */
#define LINE_TAIL 32
/* The longest that one input character becomes: \x00 four times (a refused 4-byte sequence), \ufffd. */
#define LINE_CHAR 16

static size_t line_room(const struct log_line *line)
{
	return LOG_LINE_MAX - LINE_TAIL - line->n;
}

/* All or nothing: half a name or number would be misread. */
static bool line_add(struct log_line *line, struct span s)
{
	if (s.n > line_room(line)) {
		line->cut = true;
		return false;
	}
	memcpy(line->p + line->n, s.p, s.n);
	line->n += s.n;
	return true;
}

static void line_mark(struct log_line *line, char c)
{
	line_add(line, span_of((const uint8_t *)&c, 1));
}

/* The digits of v, in front of `end`. */
static char *digits(char *end, uint64_t v)
{
	do
		*--end = (char)('0' + v % 10);
	while ((v /= 10) != 0);
	return end;
}

static void line_u64(struct log_line *line, uint64_t v)
{
	char made[20], *at = digits(made + sizeof made, v);

	line_add(line, span_of((const uint8_t *)at, (size_t)(made + sizeof made - at)));
}

__attribute__((format(printf, 2, 3))) static bool line_put(struct log_line *line, const char *fmt, ...)
{
	char made[256];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(made, sizeof made, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof made || (size_t)n > line_room(line)) {
		line->cut = true;
		return false;
	}
	memcpy(line->p + line->n, made, (size_t)n);
	line->n += (size_t)n;
	return true;
}

static void line_char_json(struct log_line *line, struct span c, bool valid)
{
	if (!valid)
		line_put(line, "\\ufffd");
	else if (c.p[0] == '"' || c.p[0] == '\\')
		line_put(line, "\\%c", c.p[0]);
	else if (c.p[0] == '\n')
		line_put(line, "\\n");
	else if (c.p[0] < 0x20 || c.p[0] == 0x7f)
		line_put(line, "\\u%04x", c.p[0]);
	else
		line_put(line, "%.*s", (int)c.n, (const char *)c.p);
}

/* Control characters (C1 too) could rewrite a terminal or forge a line. `bare` text has no quotes around it. */
static void line_char_text(struct log_line *line, struct span c, bool valid, bool bare)
{
	bool control = c.p[0] < 0x20 || c.p[0] == 0x7f || (c.n == 2 && c.p[0] == 0xc2 && c.p[1] < 0xa0);

	if (valid && (c.p[0] == '\\' || c.p[0] == '"'))
		line_put(line, "\\%c", c.p[0]);
	else if (valid && !control && !(bare && c.p[0] == ' '))
		line_put(line, "%.*s", (int)c.n, (const char *)c.p);
	else
		for (size_t i = 0; i < c.n; i++)
			line_put(line, "\\x%02x", c.p[i]);
}

/* Nearly all of every line: needs no escape in either format, nor quotes around it. */
static bool unescaped(uint8_t c, bool bare)
{
	return c > 0x20 ? c < 0x7f && c != '"' && c != '\\' : c == ' ' && !bare;
}

static void line_escape(struct log_line *line, struct span s, bool bare)
{
	size_t n;

	for (; s.n != 0; s = span_skip(s, n)) {
		if (line_room(line) < LINE_CHAR) {
			line->cut = true;
			return;
		}
		if (unescaped(s.p[0], bare && !line->json)) {
			line->p[line->n++] = (char)s.p[0];
			n = 1;
			continue;
		}
		n = utf8_length(s);
		if (line->json)
			line_char_json(line, span_of(s.p, n == 0 ? 1 : n), n != 0);
		else
			line_char_text(line, span_of(s.p, n == 0 ? 1 : n), n != 0, bare);
		n = n == 0 ? 1 : n;
	}
}

/* The closing quote uses the tail and so always fits. */
static void line_quoted(struct log_line *line, struct span s)
{
	line->p[line->n++] = '"';
	line_escape(line, s, false);
	line->p[line->n++] = '"';
}

static void line_json_pair(struct log_line *line, const char *name, const char *value)
{
	if (value == NULL || value[0] == '\0')
		return;
	if (line_room(line) > LINE_CHAR && line_put(line, ",\"%s\":", name))
		line_quoted(line, span_str(value));
}

void log_line_start(struct log_line *line, bool json)
{
	line->n = 0;
	line->json = json;
	line->cut = false;
}

static void line_head_json(struct log_line *line, const char *level, const struct tm *at, long ms,
			   const struct log_who *who, const char *event)
{
	line_put(line, "{\"time\":\"%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ\",\"level\":\"%s\",\"pid\":%ld",
		 at->tm_year + 1900, at->tm_mon + 1, at->tm_mday, at->tm_hour, at->tm_min, at->tm_sec, ms,
		 level, (long)getpid());
	line_json_pair(line, "event", event);
	if (who == NULL)
		return;
	line_json_pair(line, "kind", who->kind);
	if (who->id != 0)
		line_put(line, ",\"id\":%" PRIu64, who->id);
	line_json_pair(line, "database", who->database);
	line_json_pair(line, "user", who->user);
	line_json_pair(line, "peer", who->peer);
}

static bool present(const char *s)
{
	return s != NULL && s[0] != '\0';
}

/* "client-17 app/mike@1.2.3.4:55: " */
static void line_who_text(struct log_line *line, const struct log_who *who)
{
	size_t start = line->n;
	bool named = present(who->database) || present(who->user) || present(who->peer);

	if (present(who->kind))
		line_escape(line, span_str(who->kind), true);
	if (who->id != 0)
		line_mark(line, '-'), line_u64(line, who->id);
	if (line->n > start && named)
		line_mark(line, ' ');
	if (present(who->database))
		line_escape(line, span_str(who->database), true);
	if (present(who->user)) {
		line_mark(line, '/');
		line_escape(line, span_str(who->user), true);
	}
	if (present(who->peer)) {
		line_mark(line, '@');
		line_escape(line, span_str(who->peer), true);
	}
	if (line->n > start)
		line_add(line, span_str(": "));
}

#define TIME_MS (sizeof "2026-01-01 00:00:00." - 1) /* for years of four digits */

/* A client that comes and goes writes two lines, so what is the same in all lines of a second is made once. */
static void line_time_text(struct log_line *line, const struct timespec *now)
{
	static _Thread_local char made[TIME_MS + 80];
	static _Thread_local size_t n;
	static _Thread_local time_t second;
	static _Thread_local pid_t pid;
	long ms = now->tv_nsec / 1000000;
	struct tm at;

	if (n == 0 || second != now->tv_sec || pid != getpid()) {
		second = now->tv_sec;
		pid = getpid();
		gmtime_r(&second, &at);
		n = (size_t)snprintf(made, sizeof made, "%04d-%02d-%02d %02d:%02d:%02d.000 UTC [%ld] ",
				     at.tm_year + 1900, at.tm_mon + 1, at.tm_mday, at.tm_hour, at.tm_min,
				     at.tm_sec, (long)pid);
	}
	for (char *digit = made + TIME_MS + 2; digit >= made + TIME_MS; digit--, ms /= 10)
		*digit = (char)('0' + ms % 10);
	line_add(line, span_of((const uint8_t *)made, n));
}

void log_line_head(struct log_line *line, enum log_level level, const struct timespec *now,
		   const struct log_who *who, const char *event)
{
	static const char *const upper[] = {"ERROR", "WARN", "INFO", "DEBUG"};
	static const char *const lower[] = {"error", "warn", "info", "debug"};
	struct tm at;

	if (line->json) {
		gmtime_r(&now->tv_sec, &at);
		line_head_json(line, lower[level], &at, now->tv_nsec / 1000000, who, event);
		return;
	}
	line_time_text(line, now);
	line_add(line, span_str(upper[level]));
	line_mark(line, ' ');
	if (who != NULL)
		line_who_text(line, who);
	line_escape(line, span_str(event), false);
}

static void line_number(struct log_line *line, const struct log_field *field)
{
	uint64_t lsn = (uint64_t)field->num;

	if (!line->json && field->kind != LOG_FIELD_LSN && field->num >= 0 &&
	    line_room(line) > strlen(field->name) + 32) {
		line_mark(line, ' ');
		line_add(line, span_str(field->name));
		line_mark(line, '=');
		line_u64(line, (uint64_t)field->num);
		if (field->kind == LOG_FIELD_US)
			line_add(line, span_str("us"));
		return;
	}
	switch (field->kind) {
	case LOG_FIELD_INT:
		line_put(line, line->json ? ",\"%s\":%" PRId64 : " %s=%" PRId64, field->name, field->num);
		break;
	case LOG_FIELD_US:
		line_put(line, line->json ? ",\"%s_us\":%" PRId64 : " %s=%" PRId64 "us", field->name,
			 field->num);
		break;
	default:
		line_put(line, line->json ? ",\"%s\":\"%X/%X\"" : " %s=%X/%X", field->name,
			 (unsigned)(lsn >> 32), (unsigned)lsn);
	}
}

void log_line_field(struct log_line *line, const struct log_field *field)
{
	struct span text = field->span;

	if (field->kind != LOG_FIELD_STR && field->kind != LOG_FIELD_SPAN) {
		line_number(line, field);
		return;
	}
	if (field->kind == LOG_FIELD_STR)
		text = span_str(field->str == NULL ? "" : field->str);
	if (line_room(line) <= strlen(field->name) + LINE_CHAR) {
		line->cut = true;
		return;
	}
	line_add(line, span_str(line->json ? ",\"" : " "));
	line_add(line, span_str(field->name));
	line_add(line, span_str(line->json ? "\":" : "="));
	line_quoted(line, text);
}

void log_line_end(struct log_line *line)
{
	static const char cut_json[] = ",\"cut\":true", cut_text[] = " ...";
	const char *cut = line->json ? cut_json : cut_text;

	if (line->cut) {
		memcpy(line->p + line->n, cut, strlen(cut));
		line->n += strlen(cut);
	}
	if (line->json)
		line->p[line->n++] = '}';
	line->p[line->n++] = '\n';
}
