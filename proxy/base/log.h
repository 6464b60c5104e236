/* log.h - one event a line: time, level, who, event, fields.
 * Source  none.
 * Shape   the event text is constant and greppable; facts go into fields. Text or JSON, at most 4 KiB a line.
 *           2026-11-23 02:17:00.123 UTC [77] WARN client-17 app/mike@1.2.3.4:55: login refused after=12us
 * Owner   nothing is kept, nothing is allocated.
 * Thread  any; one write(2) per line.
 * Errors  a full disk or a stuck reader of a pipe loses lines, never blocks or aborts. Rate limit: at most
 *         log_max_rate lines a second and event (debug lines are free), then one line that says how many
 *         were left out. */
#ifndef PROXY_BASE_LOG_H
#define PROXY_BASE_LOG_H

#include "proxy/base/err.h"
#include "protocol/span.h"

#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* Who an event is about; empty parts are left out. All borrowed. */
struct log_who {
	const char *kind; /* "client", "server", "feed", .. */
	uint64_t id;
	const char *database;
	const char *user;
	const char *peer; /* address */
};

struct log_field {
	const char *name;
	enum { LOG_FIELD_STR, LOG_FIELD_SPAN, LOG_FIELD_INT, LOG_FIELD_US, LOG_FIELD_LSN } kind;
	const char *str;
	struct span span;
	int64_t num;
};

#define F_STR(n, v) ((struct log_field){.name = (n), .kind = LOG_FIELD_STR, .str = (v)})
#define F_SPAN(n, v) ((struct log_field){.name = (n), .kind = LOG_FIELD_SPAN, .span = (v)})
#define F_INT(n, v) ((struct log_field){.name = (n), .kind = LOG_FIELD_INT, .num = (int64_t)(v)})
#define F_US(n, v) ((struct log_field){.name = (n), .kind = LOG_FIELD_US, .num = (int64_t)(v)})
#define F_LSN(n, v) ((struct log_field){.name = (n), .kind = LOG_FIELD_LSN, .num = (int64_t)(v)})

/* Where and how; may be called again at reload. path NULL or "" = stderr. */
int log_open(const char *path, enum log_level level, int json, struct err *err);
/* The two halves of it, for who must not fail when half is done: opens, without any effect yet; */
int log_prepare(const char *path, int *fd_r, struct err *err);
/* takes fd, and cannot fail. */
void log_use(int fd, enum log_level level, int json);
void log_close(void);
int log_enabled(enum log_level level);
/* Lines a second and event; 0 = no limit. Default 100. */
void log_max_rate(unsigned per_second);

void log_event(enum log_level level, const struct log_who *who, const char *event,
	       const struct log_field *fields, unsigned nfields) __attribute__((cold));

#define LOG_FIELDS_(...) ((struct log_field[]){__VA_ARGS__})
#define LOG_AT_(level, who, event, ...)                                                   \
	do {                                                                              \
		if (log_enabled(level))                                                   \
			log_event(level, who, event, LOG_FIELDS_({0}, ##__VA_ARGS__) + 1, \
				  (unsigned)(sizeof LOG_FIELDS_({0}, ##__VA_ARGS__) /     \
					     sizeof(struct log_field)) -                  \
					  1);                                             \
	} while (0)

/* log_warn(&who, "login refused", F_STR("reason", why), F_US("after", us)); who may be NULL. */
#define log_error(who, ...) LOG_AT_(LOG_LEVEL_ERROR, who, __VA_ARGS__)
#define log_warn(who, ...) LOG_AT_(LOG_LEVEL_WARN, who, __VA_ARGS__)
#define log_info(who, ...) LOG_AT_(LOG_LEVEL_INFO, who, __VA_ARGS__)
#define log_debug(who, ...) LOG_AT_(LOG_LEVEL_DEBUG, who, __VA_ARGS__)

#endif
