/* log_line.h - builds one log line (private to log).
 * Source  RFC 8259 (JSON) for the one form; the other is for eyes and grep.
 * Shape   fixed room; a tail of it is kept free so that quotes and braces always fit. What does not
 *         fit is cut and the line says so.
 * Owner   the caller's stack.
 * Thread  one at a time.
 * Errors  none: every byte comes out as valid text (UTF-8), whatever a peer sent. */
#ifndef PROXY_BASE_LOG_LINE_H
#define PROXY_BASE_LOG_LINE_H

#include "proxy/base/log.h"

#include <stdbool.h>
#include <time.h>

#define LOG_LINE_MAX 4096 /* = PIPE_BUF: written whole or not at all */

struct log_line {
	size_t n;
	bool json;
	bool cut;
	char p[LOG_LINE_MAX];
};

void log_line_start(struct log_line *line, bool json);
void log_line_head(struct log_line *line, enum log_level level, const struct timespec *now,
		   const struct log_who *who, const char *event);
void log_line_field(struct log_line *line, const struct log_field *field);
void log_line_end(struct log_line *line);

#endif
