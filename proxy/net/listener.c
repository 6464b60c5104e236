#include "proxy/net/listener.h"

#include "proxy/base/check.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

struct listener {
	struct listener_settings set;
	int fds[LISTENER_SOCKETS]; /* owned */
	unsigned n;
	int port;
	bool is_unix;
	bool shared;		    /* the sockets are a service manager's, too */
	struct tcp_settings system; /* what the sockets had before */
	dev_t dev; /* of `path` as we made it: another process may have taken the name over */
	ino_t ino;
	char path[sizeof((struct sockaddr_un *)NULL)->sun_path]; /* "" = nothing to unlink */
};

static void set_option(int fd, int level, int name, int value)
{
	(void)setsockopt(fd, level, name, &value, sizeof(value));
}

void listener_tune(struct listener *li, const struct tcp_settings *tcp)
{
	li->set.tcp = *tcp;
	for (unsigned i = 0; i < li->n && !li->is_unix; i++)
		tcp_tune_again(li->fds[i], tcp, &li->system);
}

int listener_port(const struct listener *li)
{
	return li->port;
}

bool listener_is_unix(const struct listener *li)
{
	return li->is_unix;
}

bool listener_is_shared(const struct listener *li)
{
	return li->shared;
}

unsigned listener_count(const struct listener *li)
{
	return li->n;
}

int listener_fd(const struct listener *li, unsigned i)
{
	check(i < li->n);
	return li->fds[i];
}

static struct listener *listener_new(const struct listener_settings *set)
{
	struct listener *li = check_alloc(sizeof *li);

	li->set = *set;
	return li;
}

/* The name goes only if it is still ours. */
static void unlink_path(struct listener *li)
{
	struct stat st;

	if (li->path[0] != '\0' && stat(li->path, &st) == 0 && st.st_dev == li->dev && st.st_ino == li->ino)
		unlink(li->path);
	li->path[0] = '\0';
}

void listener_free(struct listener **lp)
{
	struct listener *li = *lp;

	*lp = NULL;
	if (li == NULL)
		return;
	for (unsigned i = 0; i < li->n; i++)
		close(li->fds[i]);
	unlink_path(li);
	free(li);
}

/* Takes the bound fd, also when it fails. */
static int listener_add(struct listener *li, int fd, struct err *err)
{
	int backlog = li->set.backlog > 0 ? li->set.backlog : SOMAXCONN;

	/* Before listen(): who connects at once has them, too. */
	if (!li->is_unix) {
		tcp_read(fd, &li->system);
		tcp_tune_again(fd, &li->set.tcp, &li->system);
	}
	if (listen(fd, backlog) != 0) {
		err_set(err, "listen: %s", strerror(errno));
		close(fd);
		return -1;
	}
	li->fds[li->n++] = fd;
	return 0;
}

static int tcp_bind(const struct addrinfo *ai, const struct listener_settings *set)
{
	int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), saved;

	if (fd < 0)
		return -1;
	set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (set->reuseport)
		set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
	if (ai->ai_family == AF_INET6)
		set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1); /* v4 has a socket of its own */
	if (bind(fd, ai->ai_addr, ai->ai_addrlen) == 0)
		return fd;
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

static int socket_port(int fd)
{
	struct sockaddr_in6 own = {0}; /* IPv4 has its port in the same place */
	socklen_t n = sizeof own;

	return getsockname(fd, (struct sockaddr *)&own, &n) == 0 ? ntohs(own.sin6_port) : 0;
}

static void set_port(struct sockaddr *addr, int port)
{
	if (addr->sa_family == AF_INET6)
		((struct sockaddr_in6 *)addr)->sin6_port = htons((uint16_t)port);
	else
		((struct sockaddr_in *)addr)->sin_port = htons((uint16_t)port);
}

/* Every address of the name. A machine without IPv6 still offers "::" for "*": that one may fail. */
static int tcp_add_all(struct listener *li, struct addrinfo *list, bool any, struct err *err)
{
	for (struct addrinfo *ai = list; ai != NULL && li->n < LISTENER_SOCKETS; ai = ai->ai_next) {
		int fd;

		if (ai->ai_family != AF_INET && ai->ai_family != AF_INET6)
			continue;
		set_port(ai->ai_addr, li->port);
		fd = tcp_bind(ai, &li->set);
		if (fd < 0 && any && (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL))
			continue;
		if (fd < 0)
			return err_set(err, "%s", strerror(errno));
		if (li->port == 0)
			li->port = socket_port(fd); /* the same for all of them */
		if (listener_add(li, fd, err) != 0)
			return -1;
	}
	return li->n > 0 ? 0 : err_set(err, "no usable address");
}

struct listener *listener_tcp(const char *host, int port, const struct listener_settings *set,
			      struct err *err)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *list = NULL;
	bool any = strcmp(host, "*") == 0;
	struct listener *li;
	struct err why;
	int rc;

	rc = getaddrinfo(any ? NULL : host, "0", &hints, &list);
	if (rc != 0) {
		err_set(err, "cannot listen on %s:%d: %s", host, port, gai_strerror(rc));
		return NULL;
	}
	li = listener_new(set);
	li->port = port;
	if (tcp_add_all(li, list, any, &why) != 0) {
		err_set(err, "cannot listen on %s:%d: %s", host, port, why.text);
		listener_free(&li);
	}
	freeaddrinfo(list);
	return li;
}

/* Left behind by a process that died: nobody answers. */
static bool unix_is_stale(const struct sockaddr_un *addr, socklen_t n)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool stale;

	if (fd < 0)
		return false;
	stale = connect(fd, (const struct sockaddr *)addr, n) != 0 && errno == ECONNREFUSED;
	close(fd);
	return stale;
}

/* Closing a listening socket resets whoever is in line. A filter that drops SYNs lets the line and the handshakes under way come
 * to their end first; who is dropped sends another SYN after a second. */
static void drop_syns(int fd)
{
	static struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 13), /* flags of the TCP header */
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x02, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, 0xffff),
	};
	struct sock_fprog program = {.len = sizeof code / sizeof *code, .filter = code};

	(void)setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
}

void listener_leave(struct listener *li)
{
	if (li->shared)
		return;
	unlink_path(li);
	for (unsigned i = 0; i < li->n && !li->is_unix; i++)
		drop_syns(li->fds[i]);
}

/* Makes the socket under another name and renames it: there is a listener at any moment. */
static int unix_bind_over(int fd, const struct sockaddr_un *addr)
{
	struct sockaddr_un beside = *addr;
	int n = snprintf(beside.sun_path, sizeof beside.sun_path, "%s.%ld", addr->sun_path, (long)getpid());

	if (n < 0 || (size_t)n >= sizeof beside.sun_path) {
		errno = ENAMETOOLONG;
		return -1;
	}
	unlink(beside.sun_path);
	if (bind(fd, (struct sockaddr *)&beside,
		 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)n)) != 0)
		return -1;
	/* Who connects to it before listen() would be refused. */
	if (listen(fd, SOMAXCONN) == 0 && rename(beside.sun_path, addr->sun_path) == 0)
		return 0;
	unlink(beside.sun_path);
	return -1;
}

static int unix_bind(struct listener *li, struct sockaddr_un *addr, socklen_t n, struct err *err)
{
	bool abstract = addr->sun_path[0] == '\0';
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct stat st;
	int rc;

	if (fd < 0)
		return err_set(err, "%s", strerror(errno));
	rc = bind(fd, (struct sockaddr *)addr, n);
	if (rc != 0 && errno == EADDRINUSE && !abstract) {
		if (li->set.reuseport)
			rc = unix_bind_over(fd, addr);
		else if (unix_is_stale(addr, n) && unlink(addr->sun_path) == 0)
			rc = bind(fd, (struct sockaddr *)addr, n);
	}
	if (rc != 0) {
		err_set(err, "%s", strerror(errno));
		close(fd);
		return -1;
	}
	if (!abstract) {
		snprintf(li->path, sizeof li->path, "%s", addr->sun_path);
		if (stat(li->path, &st) == 0) {
			li->dev = st.st_dev;
			li->ino = st.st_ino;
		}
		if (li->set.unix_mode != 0 && chmod(li->path, (mode_t)li->set.unix_mode) != 0) {
			err_set(err, "chmod: %s", strerror(errno));
			close(fd);
			return -1;
		}
	}
	return listener_add(li, fd, err);
}

struct listener *listener_unix(const char *dir, int port, const struct listener_settings *set,
			       struct err *err)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int n = snprintf(addr.sun_path, sizeof addr.sun_path, "%s/.s.PGSQL.%d", dir, port);
	struct listener *li;
	struct err why;

	if (n < 0 || (size_t)n >= sizeof addr.sun_path) {
		err_set(err, "unix socket path %s/.s.PGSQL.%d is too long", dir, port);
		return NULL;
	}
	if (dir[0] == '@')
		addr.sun_path[0] = '\0';
	li = listener_new(set);
	li->is_unix = true;
	li->port = port;
	if (unix_bind(li, &addr, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)n), &why) !=
	    0) {
		err_set(err, "cannot listen on %s/.s.PGSQL.%d: %s", dir, port, why.text);
		listener_free(&li);
	}
	return li;
}

struct listener *listener_adopt(int fd, const struct listener_settings *set, struct err *err)
{
	struct sockaddr_storage own = {0};
	socklen_t n = sizeof own, nyes = sizeof(int);
	int yes = 0;
	struct listener *li;

	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &yes, &nyes) != 0 || yes == 0 ||
	    getsockname(fd, (struct sockaddr *)&own, &n) != 0 ||
	    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) != 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
		err_set(err, "descriptor %d is not a listening socket", fd);
		close(fd);
		return NULL;
	}
	li = listener_new(set);
	li->shared = true;
	li->is_unix = own.ss_family == AF_UNIX;
	li->port = li->is_unix ? 0 : socket_port(fd);
	if (listener_add(li, fd, err) != 0)
		listener_free(&li);
	return li;
}
