#include "proxy/manager.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* A number from the environment; 0 = there is none. */
static uint64_t number(const char *name)
{
	const char *text = getenv(name);

	return text != NULL ? strtoull(text, NULL, 10) : 0;
}

int manager_sockets(void)
{
	uint64_t n = number("LISTEN_FDS");

	return number("LISTEN_PID") == (uint64_t)getpid() && n <= 1024 ? (int)n : 0;
}

static void send_message(const char *text)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	size_t n = path != NULL ? strlen(path) : 0;
	int fd;

	if (n == 0 || n >= sizeof addr.sun_path || (path[0] != '/' && path[0] != '@'))
		return;
	memcpy(addr.sun_path, path, n);
	if (path[0] == '@')
		addr.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	(void)sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&addr,
		     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
	close(fd);
}

void manager_ready(const char *status)
{
	char text[256];

	snprintf(text, sizeof text, "READY=1\nSTATUS=%.200s\n", status);
	send_message(text);
}

void manager_reloading(void)
{
	struct timespec now;
	char text[64];

	clock_gettime(CLOCK_MONOTONIC, &now);
	snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%llu\n",
		 (unsigned long long)now.tv_sec * 1000000 + (unsigned long long)now.tv_nsec / 1000);
	send_message(text);
}

void manager_stopping(uint64_t within_us)
{
	char text[128];

	snprintf(text, sizeof text, "STOPPING=1\nSTATUS=Draining\nEXTEND_TIMEOUT_USEC=%llu\n",
		 (unsigned long long)within_us + 5000000);
	send_message(text);
}

uint64_t manager_watchdog_us(void)
{
	uint64_t pid = number("WATCHDOG_PID");

	return pid == 0 || pid == (uint64_t)getpid() ? number("WATCHDOG_USEC") : 0;
}

void manager_alive(void)
{
	send_message("WATCHDOG=1\n");
}
