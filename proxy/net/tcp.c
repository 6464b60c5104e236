#include "proxy/net/tcp.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

static void set_option(int fd, int level, int name, int value)
{
	(void)setsockopt(fd, level, name, &value, sizeof(value));
}

void tcp_tune(int fd, const struct tcp_settings *set)
{
	set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	if (set->user_timeout_ms > 0)
		set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, set->user_timeout_ms);
	if (!set->keepalive)
		return;
	set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	if (set->keepidle_s > 0)
		set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, set->keepidle_s);
	if (set->keepintvl_s > 0)
		set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, set->keepintvl_s);
	if (set->keepcnt > 0)
		set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, set->keepcnt);
}

static int option(int fd, int level, int name)
{
	int value = 0;
	socklen_t n = sizeof value;

	return getsockopt(fd, level, name, &value, &n) == 0 ? value : 0;
}

void tcp_read(int fd, struct tcp_settings *set_r)
{
	set_r->keepalive = option(fd, SOL_SOCKET, SO_KEEPALIVE);
	set_r->keepidle_s = option(fd, IPPROTO_TCP, TCP_KEEPIDLE);
	set_r->keepintvl_s = option(fd, IPPROTO_TCP, TCP_KEEPINTVL);
	set_r->keepcnt = option(fd, IPPROTO_TCP, TCP_KEEPCNT);
	set_r->user_timeout_ms = option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT);
}

static int either(int value, int otherwise)
{
	return value > 0 ? value : otherwise;
}

void tcp_tune_again(int fd, const struct tcp_settings *set, const struct tcp_settings *system)
{
	struct tcp_settings all = {.keepalive = set->keepalive,
				   .keepidle_s = either(set->keepidle_s, system->keepidle_s),
				   .keepintvl_s = either(set->keepintvl_s, system->keepintvl_s),
				   .keepcnt = either(set->keepcnt, system->keepcnt),
				   .user_timeout_ms = either(set->user_timeout_ms, system->user_timeout_ms)};

	if (!set->keepalive)
		set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 0);
	if (all.user_timeout_ms == 0)
		set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 0);
	tcp_tune(fd, &all);
}
