/* tcp.h - how long a connection may be dead before the kernel tells us.
 * Source  tcp(7): SO_KEEPALIVE while nobody speaks, TCP_USER_TIMEOUT while something that was sent is not acknowledged.
 * Shape   one call per socket, before or after it is connected.
 * Owner   the caller's fd.
 * Thread  any.
 * Errors  none: a kernel that does not know an option is not a reason to refuse a connection. */
#ifndef PROXY_NET_TCP_H
#define PROXY_NET_TCP_H

struct tcp_settings {
	int keepalive;			      /* 0 = no keepalives */
	int keepidle_s, keepintvl_s, keepcnt; /* 0 = the system's */
	int user_timeout_ms;		      /* 0 = the system's */
};

/* Sets these and TCP_NODELAY on a TCP socket. */
void tcp_tune(int fd, const struct tcp_settings *set);

/* For a listening socket, whose settings what it accepts inherits. */
void tcp_read(int fd, struct tcp_settings *set_r);
/* The same as tcp_tune for a socket that was tuned before: what is off or 0 now becomes so again. `system` = as it was at first. */
void tcp_tune_again(int fd, const struct tcp_settings *set, const struct tcp_settings *system);

#endif
