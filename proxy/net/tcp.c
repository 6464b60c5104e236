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
