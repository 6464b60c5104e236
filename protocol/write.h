/* write.h - build messages of both directions into a buf.
 * Source  PostgreSQL manual, "Message Formats".
 * Shape   one function per message, appended whole.
 * Owner   the caller's buf.
 * Thread  one per buf.
 * Errors  the buf's sticky `failed`. */
#ifndef PROTOCOL_WRITE_H
#define PROTOCOL_WRITE_H

#include "protocol/buf.h"

/* An open message: write_begin, append the body with buf_*, write_end fills in the length. */
size_t write_begin(struct buf *b, char type);
void write_end(struct buf *b, size_t mark);

/* --- what a server says --- */
void write_auth(struct buf *b, uint32_t code, struct span rest);
void write_param_status(struct buf *b, struct span name, struct span value);
void write_backend_key(struct buf *b, uint32_t pid, struct span secret);
void write_negotiate(struct buf *b, uint32_t minor, const struct span *unknown, size_t nunknown);
void write_ready(struct buf *b, char status);
void write_complete(struct buf *b, const char *tag);
void write_parse_complete(struct buf *b);
void write_bind_complete(struct buf *b);
void write_close_complete(struct buf *b);
void write_no_data(struct buf *b);
void write_empty_query(struct buf *b);
void write_param_description(struct buf *b, const uint32_t *oids, uint16_t n);
/* One text column / one row of text values (NULL pointer in `p` = SQL NULL). */
void write_row_description(struct buf *b, const struct span *names, const uint32_t *type_oids, uint16_t n);
void write_data_row(struct buf *b, const struct span *values, uint16_t n);
/* severity "ERROR", "FATAL", "NOTICE", ..; detail and hint may be NULL. type 'E' or 'N'. */
void write_error(struct buf *b, char type, const char *severity, const char *sqlstate, const char *message,
		 const char *detail, const char *hint);
void write_notification(struct buf *b, uint32_t pid, struct span channel, struct span payload);

/* --- what a client says --- */
void write_startup(struct buf *b, uint32_t version, const struct span *pairs, size_t npairs_times_two);
void write_ssl_request(struct buf *b);
void write_cancel(struct buf *b, uint32_t pid, struct span secret);
void write_password(struct buf *b, struct span text); /* 'p', NUL added */
void write_sasl_initial(struct buf *b, const char *mechanism, struct span data);
void write_sasl_response(struct buf *b, struct span data);
void write_query(struct buf *b, struct span text);
void write_parse(struct buf *b, struct span name, struct span query, const uint32_t *oids, uint16_t n);
/* All parameters in text format (NULL `p` = SQL NULL), all results in text format. */
void write_bind_text(struct buf *b, struct span portal, struct span stmt, const struct span *values,
		     uint16_t n);
void write_describe(struct buf *b, char kind, struct span name);
void write_execute(struct buf *b, struct span portal, uint32_t max_rows);
void write_close(struct buf *b, char kind, struct span name);
void write_sync(struct buf *b);
void write_flush(struct buf *b);
void write_terminate(struct buf *b);

#endif
