#include "tests/support/test.h"
#include "tests/unit/net/help.h"

#include "proxy/base/ring.h"
#include "proxy/net/listener.h"
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
};

static void porch_take(void *arg, int fd, const struct sockaddr *peer, socklen_t peer_n, int is_unix)
{
	struct porch *porch = arg;

	EXPECT(is_unix || peer_n >= sizeof(struct sockaddr_in));
	porch->unix_n += is_unix;
	porch->family = is_unix ? AF_UNIX : peer->sa_family;
	porch->fds[porch->n++] = fd;
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
	struct listener_settings set = {
		.backlog = 16, .keepalive = 1, .keepidle_s = 77, .user_timeout_ms = 5000};
	struct porch porch = {.want = 3};
	struct loop *l = loop_new(NULL, NULL);
	struct listener *li = listener_tcp(l, "127.0.0.1", 0, &set, porch_take, &porch, NULL);
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
	listener_free(&li);
	EXPECT(li == NULL);
	loop_free(&l);
}

TEST(listener, listens_on_all_addresses_under_one_port)
{
	struct listener_settings set = {0};
	struct porch porch = {.want = 1};
	struct loop *l = loop_new(NULL, NULL);
	struct listener *li = listener_tcp(l, "*", 0, &set, porch_take, &porch, NULL);
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
	listener_free(&li);
	loop_free(&l);
}

TEST(listener, says_which_address_it_cannot_have)
{
	struct listener_settings set = {0};
	struct porch porch = {0};
	struct loop *l = loop_new(NULL, NULL);
	struct listener *li = listener_tcp(l, "127.0.0.1", 0, &set, porch_take, &porch, NULL), *other;
	struct err err;
	char want[128];

	REQUIRE(li != NULL);
	other = listener_tcp(l, "127.0.0.1", listener_port(li), &set, porch_take, &porch, &err);
	EXPECT(other == NULL);
	snprintf(want, sizeof(want), "cannot listen on 127.0.0.1:%d: Address already in use",
		 listener_port(li));
	EXPECT_STR(err.text, want);
	listener_free(&li);
	loop_free(&l);
}

TEST(listener, shares_a_port_when_told_to)
{
	struct listener_settings set = {.reuseport = 1};
	struct porch porch = {0};
	struct loop *l = loop_new(NULL, NULL);
	struct listener *a = listener_tcp(l, "127.0.0.1", 0, &set, porch_take, &porch, NULL), *b;

	REQUIRE(a != NULL);
	b = listener_tcp(l, "127.0.0.1", listener_port(a), &set, porch_take, &porch, NULL);
	EXPECT(b != NULL);
	listener_free(&a);
	listener_free(&b);
	loop_free(&l);
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
	li = listener_unix(l, dir, 6432, &set, porch_take, &porch, &err);
	REQUIRE(li != NULL);
	REQUIRE(stat(addr.sun_path, &st) == 0);
	EXPECT_EQ(st.st_mode & 0777, 0750);
	REQUIRE((fd = knock_unix(dir, 6432)) >= 0);
	REQUIRE(run_until(l, porch_full, &porch));
	EXPECT_EQ(porch.unix_n, 1);
	other = listener_unix(l, dir, 6432, &set, porch_take, &porch, &err);
	EXPECT(other == NULL); /* somebody lives there */
	EXPECT(strstr(err.text, "Address already in use") != NULL);
	close(fd);
	porch_clear(&porch);
	listener_free(&li);
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
	li = listener_unix(l, dir, 6432, &set, porch_take, &porch, NULL);
	REQUIRE(li != NULL);
	REQUIRE((fd = knock_unix(dir, 6432)) >= 0);
	REQUIRE(run_until(l, porch_full, &porch));
	close(fd);
	porch_clear(&porch);
	listener_free(&li);
	loop_free(&l);
}

TEST(listener, accepts_nobody_while_paused)
{
	struct listener_settings set = {0};
	struct porch porch = {.want = 1};
	struct loop *l = loop_new(NULL, NULL);
	struct listener *li = listener_tcp(l, "127.0.0.1", 0, &set, porch_take, &porch, NULL);
	int fd;

	REQUIRE(li != NULL);
	listener_pause(li);
	REQUIRE((fd = knock_tcp(AF_INET, listener_port(li))) >= 0); /* the kernel's queue takes it */
	run_for(l, 20);
	EXPECT_EQ(porch.n, 0);
	listener_resume(li);
	REQUIRE(run_until(l, porch_full, &porch));
	close(fd);
	porch_clear(&porch);
	listener_free(&li);
	loop_free(&l);
}

TEST(listener, rests_when_descriptors_run_out_and_goes_on_when_there_are_some)
{
	struct listener_settings set = {0};
	struct porch porch = {.want = 1};
	struct loop *l = loop_new(NULL, NULL);
	struct listener *li = listener_tcp(l, "127.0.0.1", 0, &set, porch_take, &porch, NULL);
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
	listener_free(&li);
	loop_free(&l);
}
