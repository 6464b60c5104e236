/* prepare.h - what a configuration needs from outside of it before it can be used: certificates, keys, the log file.
 * Source  docs/operation.md, "Signals": a reload is all or nothing.
 * Shape   each opens its part and changes nothing. The start, a reload and --check-config ask the same.
 * Owner   what is handed out is the caller's.
 * Thread  any.
 * Errors  -1 and "file:line: option: reason". */
#ifndef PROXY_PREPARE_H
#define PROXY_PREPARE_H

#include "config/config.h"
#include "proxy/base/log.h"
#include "proxy/net/tls.h"

/* NULL in *tls_r = without TLS; the words of the other options must mean something all the same. */
int prepare_client_tls(const struct config *cfg, struct tls **tls_r, struct err *err);
int prepare_server_tls(const struct config *cfg, struct tls **tls_r, struct err *err);
int prepare_stats_tls(const struct config *cfg, struct tls **tls_r, struct err *err);

/* For log_use. */
int prepare_log(const struct config *cfg, int *fd_r, struct err *err);
/* `verbose`: -v of the command line, whatever the file says. */
enum log_level prepare_log_level(const struct config *cfg, bool verbose);

#endif
