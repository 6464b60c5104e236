/* loopback.h - sockets of the programs that the bench compiles.
 * Source  none.
 * Shape   TCP over 127.0.0.1, TCP_NODELAY.
 * Owner   the caller has the descriptors.
 * Thread  any.
 * Errors  loopback_listen and loopback_connect: -1, errno says why. */
#ifndef TESTS_BENCH_LOOPBACK_H
#define TESTS_BENCH_LOOPBACK_H

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

static inline struct sockaddr_in loopback_address(const char *port)
{
	return (struct sockaddr_in){.sin_family = AF_INET,
				    .sin_port = htons((uint16_t)atoi(port)),
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static inline void loopback_nodelay(int fd)
{
	int one = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

/* Does not block in accept(). */
static inline int loopback_listen(const char *port)
{
	struct sockaddr_in address = loopback_address(port);
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(fd, (struct sockaddr *)&address, sizeof address) == 0 && listen(fd, 1024) == 0)
		return fd;
	close(fd);
	return -1;
}

/* Blocks, now and later. */
static inline int loopback_connect(const char *port)
{
	struct sockaddr_in address = loopback_address(port);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	loopback_nodelay(fd);
	if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
		return fd;
	close(fd);
	return -1;
}

#endif
