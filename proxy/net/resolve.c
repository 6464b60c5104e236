#include "proxy/net/resolve.h"

#include "proxy/base/clock.h"
#include "proxy/base/map.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#define RESOLVE_ENTRIES 256
#define RESOLVE_FAILED_TTL_US (1000u * 1000)
#define RESOLVE_HOST 256

/* One asker. Its mail brings the answer into its loop. */
struct resolve_req {
	struct mail mail;
	struct mailbox *mailbox; /* borrowed from the loop */
	struct ring node;	 /* in an entry's waiters */
	int port;
	void (*fn)(void *arg, const struct resolve_answer *answer,
		   const struct err *err); /* NULL = cancelled */
	void *arg;
	bool ok;
	struct resolve_answer answer;
	struct err err;
};

/* One name. While a lookup runs, whoever asks joins its waiters: one dead name server must not take all
 * helper threads. */
struct resolve_entry {
	char host[RESOLVE_HOST];
	bool busy;
	bool ok;
	uint64_t expires_us;
	struct ring waiters;
	struct resolve_answer answer; /* without ports */
	struct err err;
	UT_hash_handle hh;
};

struct resolve_lookup {
	struct offload_job job;
	char host[RESOLVE_HOST];
};

static struct {
	pthread_mutex_t lock;
	struct resolve_entry *entries;
	uint64_t ttl_us;
} resolve_cache = {.lock = PTHREAD_MUTEX_INITIALIZER, .ttl_us = 15u * 1000 * 1000};

void resolve_max_ttl(uint64_t us)
{
	pthread_mutex_lock(&resolve_cache.lock);
	resolve_cache.ttl_us = us;
	pthread_mutex_unlock(&resolve_cache.lock);
}

/* With the lock held. Only what has expired, or all. */
static void cache_sweep(uint64_t now, bool all)
{
	struct resolve_entry *entry, *next;

	HASH_ITER (hh, resolve_cache.entries, entry, next) {
		if (entry->busy || (!all && entry->expires_us > now))
			continue;
		HASH_DEL(resolve_cache.entries, entry);
		free(entry);
	}
}

void resolve_forget(void)
{
	pthread_mutex_lock(&resolve_cache.lock);
	cache_sweep(0, true);
	pthread_mutex_unlock(&resolve_cache.lock);
}

void resolve_each(void (*fn)(void *arg, const struct resolve_seen *seen), void *arg)
{
	uint64_t now = clock_us();

	pthread_mutex_lock(&resolve_cache.lock);
	for (struct resolve_entry *entry = resolve_cache.entries; entry != NULL; entry = entry->hh.next)
		fn(arg, &(struct resolve_seen){
				.host = entry->host,
				.busy = entry->busy,
				.ttl_us = entry->expires_us > now ? entry->expires_us - now : 0,
				.answer = &entry->answer,
			});
	pthread_mutex_unlock(&resolve_cache.lock);
}

static void answer_set_ports(struct resolve_answer *answer, int port)
{
	for (unsigned i = 0; i < answer->n; i++) {
		struct sockaddr_storage *addr = &answer->addr[i].addr;

		if (addr->ss_family == AF_INET)
			((struct sockaddr_in *)addr)->sin_port = htons((uint16_t)port);
		else if (addr->ss_family == AF_INET6)
			((struct sockaddr_in6 *)addr)->sin6_port = htons((uint16_t)port);
	}
}

static void req_run(struct mail *mail, void *ctx)
{
	struct resolve_req *req = ring_item(mail, struct resolve_req, mail);

	(void)ctx;
	if (req->fn != NULL)
		req->fn(req->arg, req->ok ? &req->answer : NULL, &req->err);
	free(req);
}

/* Hands the request back to its loop, where it ends. */
static void req_answer(struct resolve_req *req, const struct resolve_answer *answer, const struct err *err)
{
	req->ok = answer != NULL;
	if (answer != NULL) {
		req->answer = *answer;
		answer_set_ports(&req->answer, req->port);
	} else {
		req->err = *err;
	}
	mailbox_post(req->mailbox, &req->mail);
}

static int host_lookup(const char *host, int flags, struct resolve_answer *answer_r, struct err *err)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = flags}, *list = NULL;
	struct resolve_answer answer = {0};
	int rc = getaddrinfo(host, NULL, &hints, &list);

	if (rc != 0)
		return err_state(err, "08001", "cannot resolve host \"%s\": %s", host,
				 rc == EAI_SYSTEM ? strerror(errno) : gai_strerror(rc));
	for (struct addrinfo *ai = list; ai != NULL && answer.n < RESOLVE_MAX; ai = ai->ai_next) {
		if (ai->ai_family != AF_INET && ai->ai_family != AF_INET6)
			continue;
		memcpy(&answer.addr[answer.n].addr, ai->ai_addr, ai->ai_addrlen);
		answer.addr[answer.n++].n = ai->ai_addrlen;
	}
	freeaddrinfo(list);
	if (answer.n == 0)
		return err_state(err, "08001", "host \"%s\" has no usable address", host);
	*answer_r = answer;
	return 0;
}

static struct resolve_entry *cache_find(const char *host)
{
	struct resolve_entry *entry;

	HASH_FIND(hh, resolve_cache.entries, host, strlen(host), entry);
	return entry;
}

/* With the lock held. */
static void entry_answer_waiters(struct resolve_entry *entry)
{
	struct ring *node;

	while ((node = ring_first(&entry->waiters)) != NULL) {
		ring_remove(node);
		req_answer(ring_item(node, struct resolve_req, node), entry->ok ? &entry->answer : NULL,
			   &entry->err);
	}
}

/* In a helper thread. */
static void lookup_work(struct offload_job *job)
{
	struct resolve_lookup *lookup = ring_item(job, struct resolve_lookup, job);
	struct resolve_answer answer = {0};
	struct resolve_entry *entry;
	struct err err = {{0}, {0}};
	uint64_t ttl;
	int rc = host_lookup(lookup->host, 0, &answer, &err);

	pthread_mutex_lock(&resolve_cache.lock);
	entry = cache_find(lookup->host);
	check(entry != NULL && entry->busy);
	ttl = resolve_cache.ttl_us;
	if (rc != 0 && ttl > RESOLVE_FAILED_TTL_US)
		ttl = RESOLVE_FAILED_TTL_US;
	entry->busy = false;
	entry->ok = rc == 0;
	entry->answer = answer;
	entry->err = err;
	entry->expires_us = clock_us() + ttl;
	entry_answer_waiters(entry);
	pthread_mutex_unlock(&resolve_cache.lock);
}

static void lookup_done(struct mail *mail, void *ctx)
{
	(void)ctx;
	free(ring_item(mail, struct resolve_lookup, job.mail));
}

static int lookup_submit(struct resolve_entry *entry, struct offload *o, struct mailbox *reply_to)
{
	struct resolve_lookup *lookup = check_alloc(sizeof *lookup);

	memcpy(lookup->host, entry->host, sizeof lookup->host);
	lookup->job.work = lookup_work;
	lookup->job.reply_to = reply_to;
	lookup->job.mail.run = lookup_done;
	if (offload_submit(o, &lookup->job) == 0)
		return 0;
	free(lookup);
	return -1;
}

/* With the lock held. The entry for the name, new if need be; NULL when all places are taken by lookups. */
static struct resolve_entry *cache_place(const char *host)
{
	struct resolve_entry *entry = cache_find(host);

	if (entry != NULL)
		return entry;
	if (HASH_COUNT(resolve_cache.entries) >= RESOLVE_ENTRIES)
		cache_sweep(clock_us(), false);
	if (HASH_COUNT(resolve_cache.entries) >= RESOLVE_ENTRIES)
		cache_sweep(0, true);
	if (HASH_COUNT(resolve_cache.entries) >= RESOLVE_ENTRIES)
		return NULL;
	entry = check_alloc(sizeof *entry);
	snprintf(entry->host, sizeof entry->host, "%s", host);
	ring_init(&entry->waiters);
	HASH_ADD_KEYPTR(hh, resolve_cache.entries, entry->host, strlen(entry->host), entry);
	return entry;
}

/* With the lock held. */
static void req_ask(struct resolve_req *req, struct offload *o, const char *host)
{
	struct resolve_entry *entry = cache_place(host);
	struct err busy;

	if (entry != NULL && !entry->busy && entry->expires_us > clock_us()) {
		req_answer(req, entry->ok ? &entry->answer : NULL, &entry->err);
		return;
	}
	if (entry == NULL || (!entry->busy && lookup_submit(entry, o, req->mailbox) != 0)) {
		err_state(&busy, "08001", "too many lookups wait already for host \"%s\"", host);
		req_answer(req, NULL, &busy);
		return;
	}
	entry->busy = true;
	ring_add(&entry->waiters, &req->node);
}

int resolve_unix(const char *dir, int port, struct resolve_addr *addr_r, struct err *err)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int n = snprintf(addr.sun_path, sizeof addr.sun_path, "%s/.s.PGSQL.%d", dir, port);

	if (n < 0 || (size_t)n >= sizeof addr.sun_path)
		return err_state(err, "08001", "unix socket path %s/.s.PGSQL.%d is too long", dir, port);
	if (dir[0] == '@')
		addr.sun_path[0] = '\0';
	*addr_r = (struct resolve_addr){0};
	memcpy(&addr_r->addr, &addr, sizeof addr);
	addr_r->n = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)n);
	if (dir[0] != '@')
		addr_r->n++;
	return 0;
}

static int unix_answer(const char *dir, int port, struct resolve_answer *answer_r, struct err *err)
{
	struct resolve_answer answer = {.n = 1};

	if (resolve_unix(dir, port, &answer.addr[0], err) != 0)
		return -1;
	*answer_r = answer;
	return 0;
}

/* What needs no lookup: a socket directory, an address, a name that cannot be one. 1 = it does need one. */
static int answer_now(const char *host, int port, struct resolve_answer *answer_r, struct err *err)
{
	if (host[0] == '/' || host[0] == '@')
		return unix_answer(host, port, answer_r, err);
	if (strlen(host) >= RESOLVE_HOST)
		return err_state(err, "08001", "host name is too long");
	if (host_lookup(host, AI_NUMERICHOST, answer_r, err) == 0)
		return 0;
	return 1;
}

struct resolve_req *resolve_start(struct loop *l, struct offload *o, const char *host, int port,
				  void (*fn)(void *arg, const struct resolve_answer *answer,
					     const struct err *err),
				  void *arg)
{
	struct resolve_req *req = check_alloc(sizeof *req);
	struct resolve_answer answer;
	struct err err = {{0}, {0}};
	int rc;

	req->mail.run = req_run;
	req->mailbox = loop_mailbox(l);
	ring_init(&req->node);
	req->port = port;
	req->fn = fn;
	req->arg = arg;
	rc = answer_now(host, port, &answer, &err);
	if (rc <= 0) {
		req_answer(req, rc == 0 ? &answer : NULL, &err);
		return req;
	}
	pthread_mutex_lock(&resolve_cache.lock);
	req_ask(req, o, host);
	pthread_mutex_unlock(&resolve_cache.lock);
	return req;
}

void resolve_cancel(struct resolve_req **rp)
{
	if (*rp != NULL)
		(*rp)->fn = NULL;
	*rp = NULL;
}

int resolve_connect(const struct resolve_addr *a, const struct tcp_settings *tcp, struct err *err)
{
	int fd = socket(a->addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return err_state(err, "08001", "socket: %s", strerror(errno));
	if (a->addr.ss_family != AF_UNIX)
		tcp_tune(fd, tcp);
	if (connect(fd, (const struct sockaddr *)&a->addr, a->n) == 0 || errno == EINPROGRESS)
		return fd;
	err_state(err, "08001", "cannot connect: %s", strerror(errno));
	close(fd);
	return -1;
}
