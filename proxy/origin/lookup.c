#include "proxy/origin/lookup.h"
#include "proxy/base/check.h"
#include "proxy/base/clock.h"
#include "proxy/base/ring.h"
#include "proxy/origin/link.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define LOOKUP_KEEP_US 30000000u /* an idle connection is used again that long */
#define LOOKUP_KEPT_MAX 8u
#define LOOKUP_TIMEOUT_S 15
/* Of one target: those of others do not wait behind a server that does not answer. */
#define LOOKUP_AT_ONCE 4

enum setting { HOST, PORT, DBNAME, USER, PASSWORD, SSLMODE, SSLROOTCERT, QUERY, NSETTINGS };

struct lookup_req {
	struct offload_job job;
	struct mail refused; /* when the queue is full */
	struct loop *loop;
	struct offload *offload;
	struct ring node; /* in `running` or `waiting` */
	bool waits;
	char *set[NSETTINGS]; /* owned; "" = not given */
	int timeout_s;
	char *name;							  /* owned */
	void (*fn)(void *arg, const char *secret, const struct err *err); /* NULL = cancelled */
	void *arg;
	/* the outcome */
	char *secret; /* owned */
	struct err err;
};

/* --- kept connections: shared by the helper threads --- */

struct kept {
	struct ring node;
	PGconn *conn;	      /* owned */
	char *set[NSETTINGS]; /* owned */
	uint64_t since_us;
};

static pthread_mutex_t kept_lock = PTHREAD_MUTEX_INITIALIZER;
static struct ring kept_list = {&kept_list, &kept_list}; /* newest first */

static void free_strings(char **set)
{
	for (int i = 0; i < NSETTINGS; i++)
		free(set[i]);
}

static void kept_free(struct kept *k)
{
	PQfinish(k->conn);
	free_strings(k->set);
	free(k);
}

/* The query is not part of it: any may run on any connection. */
static bool same_target(char *const *a, char *const *b)
{
	for (int i = 0; i < QUERY; i++) {
		if (strcmp(a[i], b[i]) != 0)
			return false;
	}
	return true;
}

/* Old ones move to `old`, to be closed without the lock. */
static struct kept *kept_take(char *const *set, struct ring *old)
{
	uint64_t now_us = clock_us();
	struct kept *found = NULL;

	pthread_mutex_lock(&kept_lock);
	ring_each_safe (node, &kept_list) {
		struct kept *k = ring_item(node, struct kept, node);

		if (now_us - k->since_us > LOOKUP_KEEP_US) {
			ring_remove(node);
			ring_add(old, node);
		} else if (found == NULL && same_target(k->set, set)) {
			ring_remove(node);
			found = k;
		}
	}
	pthread_mutex_unlock(&kept_lock);
	return found;
}

static void free_all(struct ring *list)
{
	struct ring *node;

	while ((node = ring_first(list)) != NULL) {
		ring_remove(node);
		kept_free(ring_item(node, struct kept, node));
	}
}

static PGconn *reuse(char *const *set)
{
	struct ring old;
	struct kept *k;
	PGconn *conn;

	ring_init(&old);
	k = kept_take(set, &old);
	free_all(&old);
	if (k == NULL)
		return NULL;
	conn = k->conn;
	k->conn = NULL;
	kept_free(k);
	return conn;
}

static void keep(struct lookup_req *r, PGconn *conn)
{
	struct kept *k = check_alloc(sizeof(*k));
	struct ring old, *node;
	unsigned n = 0;

	ring_init(&old);
	k->conn = conn;
	k->since_us = clock_us();
	for (int i = 0; i < NSETTINGS; i++) {
		k->set[i] = strdup(r->set[i]);
		check(k->set[i] != NULL);
	}
	pthread_mutex_lock(&kept_lock);
	ring_push(&kept_list, &k->node);
	ring_each (it, &kept_list)
		n++;
	if (n > LOOKUP_KEPT_MAX) {
		node = kept_list.prev;
		ring_remove(node);
		ring_add(&old, node);
	}
	pthread_mutex_unlock(&kept_lock);
	free_all(&old);
}

/* --- turns: any thread --- */

static pthread_mutex_t turn_lock = PTHREAD_MUTEX_INITIALIZER;
static struct ring running = {&running, &running}; /* given to an offload */
static struct ring waiting = {&waiting,
			      &waiting}; /* for one of the same target to end; first come, first served */

static bool turn_take(struct lookup_req *r)
{
	unsigned n = 0;

	pthread_mutex_lock(&turn_lock);
	ring_each (node, &running)
		n += same_target(ring_item(node, struct lookup_req, node)->set, r->set);
	r->waits = n >= LOOKUP_AT_ONCE;
	ring_add(r->waits ? &waiting : &running, &r->node);
	pthread_mutex_unlock(&turn_lock);
	return !r->waits;
}

/* r has ended; whose turn it is now, or NULL. */
static struct lookup_req *turn_end(struct lookup_req *r)
{
	struct lookup_req *next = NULL;

	pthread_mutex_lock(&turn_lock);
	ring_remove(&r->node);
	ring_each (node, &waiting)
		if (next == NULL && same_target(ring_item(node, struct lookup_req, node)->set, r->set))
			next = ring_item(node, struct lookup_req, node);
	if (next != NULL) {
		ring_remove(&next->node);
		ring_add(&running, &next->node);
		next->waits = false;
	}
	pthread_mutex_unlock(&turn_lock);
	return next;
}

/* Gives r to its offload; when that takes nothing more, r is told so, and the next has its turn. */
static void turn_run(struct lookup_req *r)
{
	while (r != NULL && offload_submit(r->offload, &r->job) != 0) {
		struct lookup_req *next = turn_end(r);

		err_set(&r->err, "too many lookups are waiting");
		loop_post(r->loop, &r->refused);
		r = next;
	}
}

/* --- the work --- */

/* `r->secret` stays NULL when there is no such user. */
static int read_secret(struct lookup_req *r, const PGresult *result)
{
	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		return link_refused(result, "auth_query", &r->err);
	if (PQntuples(result) == 0)
		return 0;
	if (PQntuples(result) > 1 || PQnfields(result) < 2)
		return err_set(&r->err, "auth_query must give one row of (user, secret)");
	if (strcmp(PQgetvalue(result, 0, 0), r->name) != 0)
		return err_set(&r->err, "auth_query gave another user's row");
	r->secret = strdup(PQgetvalue(result, 0, 1)); /* "" of NULL */
	return r->secret != NULL ? 0 : err_set(&r->err, "no memory for a secret");
}

static int run_query(struct lookup_req *r, PGconn *conn, const struct link_wait *wait)
{
	const char *values[1] = {r->name};
	PGresult *result;
	int rc;

	if (!PQsendQueryParams(conn, r->set[QUERY], 1, NULL, values, NULL, NULL, 0))
		return link_failed(conn, "auth_query", &r->err);
	if (link_collect(conn, wait, &result, &r->err) != 0)
		return -1;
	rc = read_secret(r, result);
	PQclear(result);
	return rc;
}

static int run_on(struct lookup_req *r, PGconn *conn, const struct link_wait *wait)
{
	int rc = run_query(r, conn, wait);

	if (PQstatus(conn) == CONNECTION_OK && PQtransactionStatus(conn) == PQTRANS_IDLE)
		keep(r, conn);
	else
		PQfinish(conn);
	return rc;
}

static void ask(struct lookup_req *r)
{
	int timeout_s = r->timeout_s > 0 ? r->timeout_s : LOOKUP_TIMEOUT_S;
	struct link_wait wait = {.wake_fd = -1, .until_us = clock_us() + (uint64_t)timeout_s * 1000000};
	struct link_target target = {
		.host = r->set[HOST],
		.port = r->set[PORT],
		.dbname = r->set[DBNAME],
		.user = r->set[USER],
		.password = r->set[PASSWORD],
		.sslmode = r->set[SSLMODE],
		.sslrootcert = r->set[SSLROOTCERT],
		.name = "pgweir auth_query",
		.connect_timeout_s = timeout_s,
		.utf8 = true,
	};
	PGconn *conn = reuse(r->set);

	if (conn != NULL) {
		if (run_on(r, conn, &wait) == 0 || r->err.sqlstate[0] != '\0')
			return;
		/* The kept connection was dead. */
		r->err = (struct err){0};
	}
	if (link_open(&target, &wait, &conn, &r->err) == 0)
		run_on(r, conn, &wait);
}

static void work(struct offload_job *job)
{
	struct lookup_req *r = ring_item(job, struct lookup_req, job);

	ask(r);
	turn_run(turn_end(r));
}

/* --- the contract --- */

static void req_free(struct lookup_req *r)
{
	if (r->secret != NULL)
		explicit_bzero(r->secret, strlen(r->secret));
	free(r->secret);
	free(r->name);
	free_strings(r->set);
	free(r);
}

static void finish(struct lookup_req *r)
{
	if (r->fn != NULL)
		r->fn(r->arg, r->secret, &r->err);
	req_free(r);
}

static void on_done(struct mail *mail, void *ctx)
{
	(void)ctx;
	finish(ring_item(mail, struct lookup_req, job.mail));
}

static void on_refused(struct mail *mail, void *ctx)
{
	(void)ctx;
	finish(ring_item(mail, struct lookup_req, refused));
}

static char *copy(const char *s)
{
	char *c = strdup(s != NULL ? s : "");

	check(c != NULL);
	return c;
}

struct lookup_req *lookup_start(struct loop *l, struct offload *o, const struct lookup_settings *set,
				const char *name,
				void (*fn)(void *arg, const char *secret, const struct err *err), void *arg)
{
	const char *from[NSETTINGS] = {
		[HOST] = set->host,
		[PORT] = set->port,
		[DBNAME] = set->dbname,
		[USER] = set->user,
		[PASSWORD] = set->password,
		[SSLMODE] = set->sslmode,
		[SSLROOTCERT] = set->sslrootcert,
		[QUERY] = set->query,
	};
	struct lookup_req *r = check_alloc(sizeof(*r));

	for (int i = 0; i < NSETTINGS; i++)
		r->set[i] = copy(from[i]);
	r->timeout_s = set->timeout_s;
	r->name = copy(name);
	r->fn = fn;
	r->arg = arg;
	r->job.work = work;
	r->job.reply_to = loop_mailbox(l);
	r->job.mail.run = on_done;
	r->refused.run = on_refused;
	r->loop = l;
	r->offload = o;
	if (turn_take(r))
		turn_run(r);
	return r;
}

void lookup_cancel(struct lookup_req **r)
{
	struct lookup_req *req = *r;
	bool waits;

	*r = NULL;
	if (req == NULL)
		return;
	pthread_mutex_lock(&turn_lock);
	waits = req->waits;
	if (waits)
		ring_remove(&req->node);
	pthread_mutex_unlock(&turn_lock);
	if (waits)
		req_free(req);
	else
		req->fn = NULL; /* the work goes on; its mail frees it */
}
