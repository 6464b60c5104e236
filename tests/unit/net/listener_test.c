#include "tests/support/test.h"
#include "tests/unit/net/help.h"

#include "proxy/base/ring.h"
#include "proxy/net/acceptor.h"
#include "proxy/net/resolve.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

struct porch {
	int fds[64];
	int n, want, unix_n;
	int family;
	struct acceptor *acceptor;
};

static void porch_take(void *arg, int fd, bool is_unix)
{
	struct porch *porch = arg;
	struct sockaddr_storage own = {0};
	socklen_t n = sizeof own;

	EXPECT_EQ(getsockname(fd, (struct sockaddr *)&own, &n), 0);
	EXPECT_EQ(own.ss_family == AF_UNIX, is_unix);
	porch->unix_n += is_unix;
	porch->family = own.ss_family;
	porch->fds[porch->n++] = fd;
}

/* A listener (or NULL) whose clients come to the porch. */
static struct listener *opened(struct loop *l, struct porch *porch, struct listener *li)
{
	if (li != NULL)
		REQUIRE((porch->acceptor = acceptor_new(l, li, porch_take, porch, NULL)) != NULL);
	return li;
}

static void closed(struct listener **li, struct porch *porch)
{
	acceptor_free(&porch->acceptor);
	listener_free(li);
}

static bool porch_full(void *arg)
{
	struct porch *porch = arg;

	return porch->n >= porch->want;
}

static void porch_clear(struct porch *porch)
{
	while (porch->n > 0)
		close(porch->fds[--porch->n]);
}

static int knock_tcp(int family, int port)
{
	struct sockaddr_in in4 = {.sin_family = AF_INET,
				  .sin_port = htons((uint16_t)port),
				  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6,
				   .sin6_port = htons((uint16_t)port),
				   .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	int fd = socket(family, SOCK_STREAM, 0);

	if (fd < 0)
		return -1;
	if ((family == AF_INET ? connect(fd, (struct sockaddr *)&in4, sizeof(in4))
			       : connect(fd, (struct sockaddr *)&in6, sizeof(in6))) == 0)
		return fd;
	close(fd);
	return -1;
}

static int option_of(int fd, int level, int name)
{
	int value = -1;
	socklen_t n = sizeof(value);

	getsockopt(fd, level, name, &value, &n);
	return value;
}

TEST(listener, accepts_tcp_with_the_options_asked_for)
{
	struct listener_settings set = {.backlog = 16,
					.tcp = {.keepalive = 1, .keepidle_s = 77, .user_timeout_ms = 5000}};
	struct porch porch = {.want = 3};
	struct loop *l = loop_new(NULL, NULL);
	struct listener *li = opened(l, &porch, listener_tcp("127.0.0.1", 0, &set, NULL));
	int fds[3];

	REQUIRE(li != NULL);
	EXPECT(listener_port(li) > 0);
	for (int i = 0; i < 3; i++)
		REQUIRE((fds[i] = knock_tcp(AF_INET, listener_port(li))) >= 0);
	REQUIRE(run_until(l, porch_full, &porch));
	EXPECT_EQ(porch.n, 3);
	EXPECT_EQ(porch.unix_n, 0);
	EXPECT(option_of(porch.fds[0], IPPROTO_TCP, TCP_NODELAY) != 0);
	EXPECT(option_of(porch.fds[0], SOL_SOCKET, SO_KEEPALIVE) != 0);
	EXPECT_EQ(option_of(porch.fds[0], IPPROTO_TCP, TCP_KEEPIDLE), 77);
	EXPECT_EQ(option_of(porch.fds[0], IPPROTO_TCP, TCP_USER_TIMEOUT), 5000);
	EXPECT((fcntl(porch.fds[0], F_GETFL) & O_NONBLOCK) != 0);
	EXPECT((fcntl(porch.fds[0], F_GETFD) & FD_CLOEXEC) != 0);
	porch_clear(&porch);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	listener_tune(li, &(struct tcp_settings){.user_timeout_ms = 6000});
	porch.want = 1;
	REQUIRE((fds[0] = knock_tcp(AF_INET, listener_port(li))) >= 0);
	REQUIRE(run_until(l, porch_full, &porch));
	EXPECT_EQ(option_of(porch.fds[0], IPPROTO_TCP, TCP_USER_TIMEOUT), 6000);
	EXPECT_EQ(option_of(porch.fds[0], SOL_SOCKET, SO_KEEPALIVE), 0);
	porch_clear(&porch);
	close(fds[0]);
	closed(&li, &porch);
	EXPECT(li == NULL);
	loop_free(&l);
}

TEST(listener, gives_back_to_the_system_what_is_not_set_any_more)
{
	struct listener_settings set = {.tcp = {.keepalive = 1, .keepidle_s = 77, .keepcnt = 5}};
	struct porch porch = {.want = 1};
	struct loop *l = loop_new(NULL, NULL);
	struct listener *li = opened(l, &porch, listener_tcp("127.0.0.1", 0, &set, NULL));
	int fresh = socket(AF_INET, SOCK_STREAM, 0), fd;

	REQUIRE(li != NULL);
	listener_tune(li, &(struct tcp_settings){.keepalive = 1});
	REQUIRE((fd = knock_tcp(AF_INET, listener_port(li))) >= 0);
	REQUIRE(run_until(l, porch_full, &porch));
	EXPECT(option_of(porch.fds[0], SOL_SOCKET, SO_KEEPALIVE) != 0);
	EXPECT_EQ(option_of(porch.fds[0], IPPROTO_TCP, TCP_KEEPIDLE),
		  option_of(fresh, IPPROTO_TCP, TCP_KEEPIDLE));
	EXPECT_EQ(option_of(porch.fds[0], IPPROTO_TCP, TCP_KEEPCNT),
		  option_of(fresh, IPPROTO_TCP, TCP_KEEPCNT));
	close(fd);
	close(fresh);
	porch_clear(&porch);
	closed(&li, &porch);
	loop_free(&l);
}

/* More than one of them takes in a round: the other loop gets some, and nobody is lost between the two. */
TEST(acceptor, shares_a_line_with_one_of_another_loop)
{
	struct listener_settings set = {.backlog = 64};
	struct porch one = {.want = 1}, two = {.want = 1};
	struct loop *l = loop_new(NULL, NULL), *other = loop_new(NULL, NULL);
	struct listener *li = opened(l, &one, listener_tcp("127.0.0.1", 0, &set, NULL));
	int fds[40];

	REQUIRE(li != NULL && opened(other, &two, li) != NULL);
	for (int i = 0; i < 40; i++)
		REQUIRE((fds[i] = knock_tcp(AF_INET, listener_port(li))) >= 0);
	REQUIRE(run_until(l, porch_full, &one) && one.n < 40);
	REQUIRE(run_until(other, porch_full, &two));
	one.want = 40 - two.n;
	REQUIRE(run_until(l, porch_full, &one));
	EXPECT_EQ(one.n + two.n, 40);
	run_for(other, 10);
	EXPECT_EQ(one.n + two.n, 40);
	for (int i = 0; i < 40; i++)
		close(fds[i]);
	acceptor_free(&two.acceptor);
	porch_clear(&one);
	porch_clear(&two);
	closed(&li, &one);
	loop_free(&l);
	loop_free(&other);
}

TEST(acceptor, takes_the_rest_of_the_line_before_the_end)
{
	struct listener_settings set = {.backlog = 64};
	struct porch porch = {0};
	struct listener *li = listener_tcp("127.0.0.1", 0, &set, NULL);
	int fds[20];

	REQUIRE(li != NULL);
	for (int i = 0; i < 20; i++)
		REQUIRE((fds[i] = knock_tcp(AF_INET, listener_port(li))) >= 0);
	acceptor_rest(li, porch_take, &porch);
	EXPECT_EQ(porch.n, 20);
	listener_free(&li);
	for (int i = 0; i < 20; i++) {
		EXPECT_EQ(option_of(fds[i], SOL_SOCKET, SO_ERROR), 0);
		close(fds[i]);
	}
	porch_clear(&porch);
}

TEST(listener, listens_on_all_addresses_under_one_port)
{
	struct listener_settings set = {0};
	struct porch porch = {.want = 1};
	struct loop *l = loop_new(NULL, NULL);
	struct listener *li = opened(l, &porch, listener_tcp("*", 0, &set, NULL));
	int fd;

	REQUIRE(li != NULL);
	REQUIRE((fd = knock_tcp(AF_INET, listener_port(li))) >= 0);
	REQUIRE(run_until(l, porch_full, &porch));
	EXPECT_EQ(porch.family, AF_INET);
	close(fd);
	fd = knock_tcp(AF_INET6, listener_port(li));
	if (fd >= 0) { /* a machine without IPv6 is fine too */
		porch.want = 2;
		REQUIRE(run_until(l, porch_full, &porch));
		EXPECT_EQ(porch.family, AF_INET6);
		close(fd);
	}
	porch_clear(&porch);
	closed(&li, &porch);
	loop_free(&l);
}

TEST(listener, says_which_address_it_cannot_have)
{
	struct listener_settings set = {0};
	struct porch porch = {0};
	struct loop *l = loop_new(NULL, NULL);
	struct listener *li = opened(l, &porch, listener_tcp("127.0.0.1", 0, &set, NULL)), *other;
	struct err err;
	char want[128];

	REQUIRE(li != NULL);
	other = opened(l, &porch, listener_tcp("127.0.0.1", listener_port(li), &set, &err));
	EXPECT(other == NULL);
	snprintf(want, sizeof(want), "cannot listen on 127.0.0.1:%d: Address already in use",
		 listener_port(li));
	EXPECT_STR(err.text, want);
	closed(&li, &porch);
	loop_free(&l);
}

TEST(listener, shares_a_port_when_told_to)
{
	struct listener_settings set = {.reuseport = 1};
	struct listener *a = listener_tcp("127.0.0.1", 0, &set, NULL), *b;

	REQUIRE(a != NULL);
	b = listener_tcp("127.0.0.1", listener_port(a), &set, NULL);
	EXPECT(b != NULL);
	listener_free(&a);
	listener_free(&b);
}

static int knock_unix(const char *dir, int port)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int n = snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/.s.PGSQL.%d", dir, port);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	if (dir[0] == '@')
		addr.sun_path[0] = '\0';
	if (connect(fd, (struct sockaddr *)&addr,
		    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)n)) == 0)
		return fd;
	close(fd);
	return -1;
}

TEST(listener, accepts_on_a_unix_socket_and_replaces_only_a_stale_one)
{
	struct listener_settings set = {.unix_mode = 0750};
	struct porch porch = {.want = 1};
	struct loop *l = loop_new(NULL, NULL);
	struct listener *li, *other;
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	struct stat st;
	struct err err;
	char dir[] = "/tmp/pgweir-unix-XXXXXX";
	int dead = socket(AF_UNIX, SOCK_STREAM, 0), fd;

	REQUIRE(mkdtemp(dir) != NULL);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/.s.PGSQL.6432", dir);
	REQUIRE(bind(dead, (struct sockaddr *)&addr, sizeof(addr)) == 0);
	close(dead); /* leaves the file */
	li = opened(l, &porch, listener_unix(dir, 6432, &set, &err));
	REQUIRE(li != NULL);
	REQUIRE(stat(addr.sun_path, &st) == 0);
	EXPECT_EQ(st.st_mode & 0777, 0750);
	REQUIRE((fd = knock_unix(dir, 6432)) >= 0);
	REQUIRE(run_until(l, porch_full, &porch));
	EXPECT_EQ(porch.unix_n, 1);
	other = opened(l, &porch, listener_unix(dir, 6432, &set, &err));
	EXPECT(other == NULL); /* somebody lives there */
	EXPECT(strstr(err.text, "Address already in use") != NULL);
	close(fd);
	porch_clear(&porch);
	closed(&li, &porch);
	EXPECT(stat(addr.sun_path, &st) != 0);
	rmdir(dir);
	loop_free(&l);
}

TEST(listener, accepts_on_an_abstract_socket)
{
	struct listener_settings set = {0};
	struct porch porch = {.want = 1};
	struct loop *l = loop_new(NULL, NULL);
	char dir[64];
	struct listener *li;
	int fd;

	snprintf(dir, sizeof(dir), "@pgweir-test-%d", getpid());
	li = opened(l, &porch, listener_unix(dir, 6432, &set, NULL));
	REQUIRE(li != NULL);
	REQUIRE((fd = knock_unix(dir, 6432)) >= 0);
	REQUIRE(run_until(l, porch_full, &porch));
	close(fd);
	porch_clear(&porch);
	closed(&li, &porch);
	loop_free(&l);
}

TEST(acceptor, finds_who_came_before_it_in_line)
{
	struct listener_settings set = {0};
	struct porch porch = {.want = 1};
	struct loop *l = loop_new(NULL, NULL);
	struct listener *li = opened(l, &porch, listener_tcp("127.0.0.1", 0, &set, NULL));
	int fd;

	REQUIRE(li != NULL);
	acceptor_free(&porch.acceptor);
	REQUIRE((fd = knock_tcp(AF_INET, listener_port(li))) >= 0); /* the kernel's queue takes it */
	run_for(l, 20);
	EXPECT_EQ(porch.n, 0);
	opened(l, &porch, li);
	REQUIRE(run_until(l, porch_full, &porch));
	close(fd);
	porch_clear(&porch);
	closed(&li, &porch);
	loop_free(&l);
}

TEST(acceptor, rests_when_descriptors_run_out_and_goes_on_when_there_are_some)
{
	struct listener_settings set = {0};
	struct porch porch = {.want = 1};
	struct loop *l = loop_new(NULL, NULL);
	struct listener *li = opened(l, &porch, listener_tcp("127.0.0.1", 0, &set, NULL));
	struct rlimit before, few;
	int fd;

	REQUIRE(li != NULL && getrlimit(RLIMIT_NOFILE, &before) == 0);
	REQUIRE((fd = knock_tcp(AF_INET, listener_port(li))) >= 0);
	few = before;
	few.rlim_cur = 3;
	REQUIRE(setrlimit(RLIMIT_NOFILE, &few) == 0);
	run_for(l, 30);
	EXPECT_EQ(porch.n, 0);
	REQUIRE(setrlimit(RLIMIT_NOFILE, &before) == 0);
	EXPECT(run_until(l, porch_full, &porch));
	close(fd);
	porch_clear(&porch);
	closed(&li, &porch);
	loop_free(&l);
}

/* A connect under way; its end is seen by the listeners. */
static int knock_later(int port)
{
	struct sockaddr_in in4 = {.sin_family = AF_INET,
				  .sin_port = htons((uint16_t)port),
				  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	REQUIRE(fd >= 0);
	(void)connect(fd, (struct sockaddr *)&in4, sizeof(in4));
	return fd;
}

static int error_of(int fd)
{
	return option_of(fd, SOL_SOCKET, SO_ERROR);
}

TEST(listener, leaves_a_shared_port_without_losing_a_client)
{
	struct listener_settings set = {.reuseport = 1};
	struct porch old = {0}, new = {0};
	struct loop *l = loop_new(NULL, NULL);
	struct listener *a = opened(l, &old, listener_tcp("127.0.0.1", 0, &set, NULL)), *b;
	int fds[32], port = listener_port(a), n = 0;

	while (n < 8)
		fds[n++] = knock_tcp(AF_INET, port); /* in line when it leaves */
	listener_leave(a);
	b = opened(l, &new, listener_tcp("127.0.0.1", port, &set, NULL));
	REQUIRE(b != NULL);
	while (n < 32)
		fds[n++] = knock_later(port);
	old.want = 8;
	REQUIRE(run_until(l, porch_full, &old));
	run_for(l, 50);
	EXPECT_EQ(old.n, 8);
	closed(&a, &old);
	new.want = 24;
	REQUIRE(run_until(l, porch_full, &new)); /* some of them knock again after a second */
	for (int i = 0; i < n; i++) {
		EXPECT(fds[i] >= 0 && error_of(fds[i]) == 0);
		close(fds[i]);
	}
	porch_clear(&old);
	porch_clear(&new);
	closed(&b, &new);
	loop_free(&l);
}

TEST(listener, takes_a_unix_socket_over_when_the_port_is_shared)
{
	struct listener_settings set = {.reuseport = 1};
	struct porch old = {.want = 1}, new = {.want = 1};
	struct loop *l = loop_new(NULL, NULL);
	struct listener *a, *b;
	struct stat st;
	char dir[] = "/tmp/pgweir-unix-XXXXXX", path[64];
	int before = -1, after = -1;

	REQUIRE(mkdtemp(dir) != NULL);
	snprintf(path, sizeof(path), "%s/.s.PGSQL.6432", dir);
	a = opened(l, &old, listener_unix(dir, 6432, &set, NULL));
	REQUIRE(a != NULL && (before = knock_unix(dir, 6432)) >= 0);
	b = opened(l, &new, listener_unix(dir, 6432, &set, NULL));
	REQUIRE(b != NULL && (after = knock_unix(dir, 6432)) >= 0);
	listener_leave(a);
	EXPECT(stat(path, &st) == 0); /* the name is the other one's */
	REQUIRE(run_until(l, porch_full, &old) && run_until(l, porch_full, &new));
	EXPECT(old.n == 1 && new.n == 1);
	closed(&a, &old);
	EXPECT(stat(path, &st) == 0);
	closed(&b, &new);
	EXPECT(stat(path, &st) != 0);
	close(before);
	close(after);
	porch_clear(&old);
	porch_clear(&new);
	rmdir(dir);
	loop_free(&l);
}

TEST(listener, adopts_a_socket_that_somebody_else_holds_too)
{
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
	struct listener_settings set = {0};
	struct porch old = {.want = 1}, new = {.want = 1};
	struct loop *l = loop_new(NULL, NULL);
	struct listener *a, *b;
	struct err err;
	int held = socket(AF_INET, SOCK_STREAM, 0), fd;

	EXPECT(opened(l, &old, listener_adopt(dup(held), &set, &err)) == NULL);
	EXPECT(strstr(err.text, "is not a listening socket") != NULL);
	REQUIRE(bind(held, (struct sockaddr *)&any, sizeof(any)) == 0 && listen(held, 8) == 0);
	a = opened(l, &old, listener_adopt(dup(held), &set, &err));
	REQUIRE(a != NULL);
	REQUIRE((fd = knock_tcp(AF_INET, listener_port(a))) >= 0);
	REQUIRE(run_until(l, porch_full, &old));
	close(fd);
	listener_leave(a);
	acceptor_free(&old.acceptor);
	REQUIRE((fd = knock_tcp(AF_INET, listener_port(a))) >= 0);
	run_for(l, 20);
	closed(&a, &old);
	b = opened(l, &new, listener_adopt(dup(held), &set, &err));
	REQUIRE(b != NULL && run_until(l, porch_full, &new));
	EXPECT(old.n == 1 && new.n == 1);
	close(fd);
	close(held);
	porch_clear(&old);
	porch_clear(&new);
	closed(&b, &new);
	loop_free(&l);
}
