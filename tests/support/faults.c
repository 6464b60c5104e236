/* faults.c - a preloaded library that makes one call of a process fail: an allocation or a system call.
 * Source  malloc(3), recv(2) and the others it stands before.
 * Shape   the file named by FAULTS is shared memory: the test writes `kind`, then `countdown` = n, and the n-th call of that kind
 *         from then on fails, once, or with `lasting` each from the n-th on. It fails with the errno `error`, 0 = its usual one;
 *         -1 = it does not fail, but moves one byte at most. `seen` counts the calls, `live` the allocations that were not given back. Of allocations
 *         only the first from each place in the code counts: they come by the ten thousand, from a few hundred places.
 * Owner   the test. Thread  any. Errors  none. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { NONE, MEMORY, RECV, SEND, EPOLL_CTL, EPOLL_WAIT, ACCEPT, SOCKET, CONNECT, SETSOCKOPT, POLL };

struct control {
	_Atomic int64_t kind, countdown, seen, failed, live, round, error, lasting;
};

#define PLACES 8192 /* a power of two, well above what there is */
static _Atomic uintptr_t places[PLACES];
static _Atomic int64_t places_round;

static struct control idle, *control = &idle;

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void *__libc_memalign(size_t align, size_t n);
void __libc_free(void *p);

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("FAULTS");
	int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *at = fd < 0 ? MAP_FAILED : mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (at == MAP_FAILED)
		_exit(99);
	close(fd);
	void *warm[1];

	backtrace(warm, 1); /* loads its library now */
	atomic_store(&((struct control *)at)->live, atomic_load(&idle.live));
	control = at;
}

/* Where it was, into the log of the process. */
static void tell(void)
{
	static const char text[] = "fault injected at\n";
	void *at[24];
	int64_t kind = atomic_exchange(&control->kind, NONE);
	int n = backtrace(at, 24);

	if (write(2, text, sizeof(text) - 1) > 0)
		backtrace_symbols_fd(at, n, 2);
	atomic_store(&control->kind, kind);
}

enum fate { GOES, FAILS, IS_CUT };

/* Is this the call that is to fail? */
static enum fate fate(enum kind kind, int usual)
{
	int64_t left, error;

	if (atomic_load_explicit(&control->kind, memory_order_relaxed) != (int64_t)kind)
		return GOES;
	atomic_fetch_add(&control->seen, 1);
	left = atomic_fetch_sub(&control->countdown, 1);
	if (left > 1 || (left < 1 && !atomic_load(&control->lasting)))
		return GOES;
	atomic_fetch_add(&control->failed, 1);
	if (left == 1)
		tell();
	error = atomic_load(&control->error);
	if (error < 0)
		return IS_CUT;
	errno = error != 0 ? (int)error : usual;
	return FAILS;
}

/* Has this round seen an allocation from there? */
static int known(uintptr_t place)
{
	int64_t round = atomic_load(&control->round);
	unsigned at = (unsigned)((place * 0x9E3779B97F4A7C15u) >> 40) % PLACES;

	if (atomic_exchange(&places_round, round) != round)
		for (unsigned i = 0; i < PLACES; i++)
			atomic_store(&places[i], 0);
	for (unsigned i = 0; i < PLACES; i++, at = (at + 1) % PLACES) {
		uintptr_t none = 0;

		if (atomic_compare_exchange_strong(&places[at], &none, place))
			return 0;
		if (none == place)
			return 1;
	}
	return 1;
}

static int no_memory(void *place)
{
	if (atomic_load_explicit(&control->kind, memory_order_relaxed) != MEMORY || known((uintptr_t)place))
		return 0;
	return fate(MEMORY, ENOMEM) == FAILS;
}
#define NO_MEMORY no_memory(__builtin_return_address(0))

static void *counted(void *p)
{
	if (p != NULL)
		atomic_fetch_add_explicit(&control->live, 1, memory_order_relaxed);
	return p;
}

void *malloc(size_t n)
{
	return NO_MEMORY ? NULL : counted(__libc_malloc(n));
}

void *calloc(size_t n, size_t size)
{
	return NO_MEMORY ? NULL : counted(__libc_calloc(n, size));
}

void *realloc(void *p, size_t n)
{
	if (NO_MEMORY)
		return NULL;
	if (p != NULL && n == 0)
		atomic_fetch_sub_explicit(&control->live, 1, memory_order_relaxed);
	return p == NULL ? counted(__libc_realloc(p, n)) : __libc_realloc(p, n);
}

int posix_memalign(void **p_r, size_t align, size_t n)
{
	void *p = NO_MEMORY ? NULL : counted(__libc_memalign(align, n));

	if (p == NULL)
		return ENOMEM;
	*p_r = p;
	return 0;
}

void *aligned_alloc(size_t align, size_t n)
{
	return NO_MEMORY ? NULL : counted(__libc_memalign(align, n));
}

void free(void *p)
{
	if (p != NULL)
		atomic_fetch_sub_explicit(&control->live, 1, memory_order_relaxed);
	__libc_free(p);
}

#define NEXT(type, name, params)   \
	static type(*next) params; \
	if (next == NULL)          \
	next = (type(*) params)dlsym(RTLD_NEXT, name)

/* Each system call: its kind, the error it usually fails with, and how it is called when it is cut short. */
#define MOVES(name, kind, usual, params, args, cut) \
	ssize_t name params                         \
	{                                           \
		NEXT(ssize_t, #name, params);       \
		switch (fate(kind, usual)) {        \
		case FAILS: return -1;              \
		case IS_CUT: return next cut;       \
		default: return next args;          \
		}                                   \
	}
#define CALL(type, name, kind, usual, params, args) \
	type name params                            \
	{                                           \
		NEXT(type, #name, params);          \
		if (fate(kind, usual) != GOES)      \
			return -1;                  \
		return next args;                   \
	}

static struct iovec one_byte(const struct iovec *v, size_t n)
{
	while (n > 1 && v->iov_len == 0)
		v++, n--;
	return (struct iovec){v->iov_base, v->iov_len > 0};
}

static struct msghdr one_byte_of(const struct msghdr *m, struct iovec *v)
{
	struct msghdr cut = *m;

	*v = one_byte(m->msg_iov, m->msg_iovlen);
	cut.msg_iov = v;
	cut.msg_iovlen = 1;
	return cut;
}
#define BYTE(v, n)                       \
	(struct iovec[])                 \
	{                                \
		one_byte(v, (size_t)(n)) \
	}
#define BYTE_OF(m)                                 \
	(struct msghdr[])                          \
	{                                          \
		one_byte_of(m, &(struct iovec){0}) \
	}

MOVES(recv, RECV, ECONNRESET, (int fd, void *p, size_t n, int flags), (fd, p, n, flags),
      (fd, p, n > 0, flags))
MOVES(recvmsg, RECV, ECONNRESET, (int fd, struct msghdr *m, int flags), (fd, m, flags),
      (fd, BYTE_OF(m), flags))
MOVES(readv, RECV, ECONNRESET, (int fd, const struct iovec *v, int n), (fd, v, n), (fd, BYTE(v, n), 1))
MOVES(send, SEND, EPIPE, (int fd, const void *p, size_t n, int flags), (fd, p, n, flags),
      (fd, p, n > 0, flags))
MOVES(sendmsg, SEND, EPIPE, (int fd, const struct msghdr *m, int flags), (fd, m, flags),
      (fd, BYTE_OF(m), flags))
MOVES(writev, SEND, EPIPE, (int fd, const struct iovec *v, int n), (fd, v, n), (fd, BYTE(v, n), 1))
CALL(int, epoll_ctl, EPOLL_CTL, ENOMEM, (int ep, int op, int fd, struct epoll_event *e), (ep, op, fd, e))
CALL(int, epoll_wait, EPOLL_WAIT, EINTR, (int ep, struct epoll_event *e, int n, int ms), (ep, e, n, ms))
CALL(int, epoll_pwait, EPOLL_WAIT, EINTR, (int ep, struct epoll_event *e, int n, int ms, const __sigset_t *s),
     (ep, e, n, ms, s))
CALL(int, accept, ACCEPT, EMFILE, (int fd, struct sockaddr *a, socklen_t *n), (fd, a, n))
CALL(int, accept4, ACCEPT, EMFILE, (int fd, struct sockaddr *a, socklen_t *n, int flags), (fd, a, n, flags))
CALL(int, socket, SOCKET, EMFILE, (int domain, int type, int protocol), (domain, type, protocol))
CALL(int, connect, CONNECT, ENETUNREACH, (int fd, const struct sockaddr *a, socklen_t n), (fd, a, n))
CALL(int, setsockopt, SETSOCKOPT, ENOBUFS, (int fd, int level, int name, const void *v, socklen_t n),
     (fd, level, name, v, n))
CALL(int, poll, POLL, EINTR, (struct pollfd * fds, nfds_t n, int ms), (fds, n, ms))
