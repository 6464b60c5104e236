#include "proxy/session/cancel.h"

#include "proxy/base/map.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>

struct cancel_key {
	uint32_t number;
	unsigned nsecret;
	uint8_t secret[CANCEL_SECRET_LONG];
	struct house *house;
	struct session *session;
	UT_hash_handle hh;
};

struct cancels {
	pthread_mutex_t lock;
	struct cancel_key *table;
	uint32_t next;
};

struct cancel_mail {
	struct mail mail;
	struct cancels *cancels;
	uint32_t number;
	void (*deliver)(struct session *s);
};

struct cancels *cancels_new(void)
{
	struct cancels *c = check_alloc(sizeof *c);

	pthread_mutex_init(&c->lock, NULL);
	c->next = 1;
	return c;
}

void cancels_free(struct cancels **c)
{
	struct cancel_key *k, *next;

	if (*c == NULL)
		return;
	HASH_ITER (hh, (*c)->table, k, next) {
		HASH_DEL((*c)->table, k);
		free(k);
	}
	pthread_mutex_destroy(&(*c)->lock);
	free(*c);
	*c = NULL;
}

static struct cancel_key *find(struct cancels *c, uint32_t number)
{
	struct cancel_key *k;

	HASH_FIND(hh, c->table, &number, sizeof number, k);
	return k;
}

uint32_t cancels_add(struct cancels *c, struct house *h, struct session *s, uint8_t *secret_r,
		     unsigned nsecret)
{
	struct cancel_key *k = check_alloc(sizeof *k);

	check(nsecret <= CANCEL_SECRET_LONG);
	check(RAND_bytes(k->secret, (int)nsecret) == 1);
	memcpy(secret_r, k->secret, nsecret);
	k->nsecret = nsecret;
	k->house = h;
	k->session = s;
	pthread_mutex_lock(&c->lock);
	do {
		/* Positive as an int32, as clients expect of a process id. */
		k->number = c->next++ & 0x7fffffff;
	} while (k->number == 0 || find(c, k->number) != NULL);
	HASH_ADD(hh, c->table, number, sizeof k->number, k);
	pthread_mutex_unlock(&c->lock);
	return k->number;
}

void cancels_remove(struct cancels *c, uint32_t number)
{
	struct cancel_key *k;

	pthread_mutex_lock(&c->lock);
	k = find(c, number);
	if (k != NULL)
		HASH_DEL(c->table, k);
	pthread_mutex_unlock(&c->lock);
	free(k);
}

/* In the session's worker: only this thread removes its keys, so a key that is still there names a live session. */
static void run(struct mail *mail, void *ctx)
{
	struct cancel_mail *m = (struct cancel_mail *)(void *)mail;
	struct cancel_key *k;
	struct session *s = NULL;

	(void)ctx;
	pthread_mutex_lock(&m->cancels->lock);
	k = find(m->cancels, m->number);
	if (k != NULL)
		s = k->session;
	pthread_mutex_unlock(&m->cancels->lock);
	if (s != NULL)
		m->deliver(s);
	free(m);
}

bool cancels_request(struct cancels *c, uint32_t number, struct span secret,
		     void (*deliver)(struct session *s))
{
	struct cancel_mail *m = NULL;
	struct cancel_key *k;
	struct loop *loop = NULL;

	pthread_mutex_lock(&c->lock);
	k = find(c, number);
	if (k != NULL && secret.n == k->nsecret && CRYPTO_memcmp(secret.p, k->secret, secret.n) == 0) {
		m = check_alloc(sizeof *m);
		m->mail.run = run;
		m->cancels = c;
		m->number = number;
		m->deliver = deliver;
		loop = k->house->host.loop;
	}
	pthread_mutex_unlock(&c->lock);
	if (m == NULL)
		return false;
	loop_post(loop, &m->mail);
	return true;
}
