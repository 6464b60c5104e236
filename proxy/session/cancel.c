#include "proxy/session/cancel.h"

#include "proxy/base/map.h"

#include "proxy/base/check.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>

struct cancel_key {
	uint32_t number;
	unsigned nsecret;
	uint8_t secret[CANCEL_SECRET_LONG];
	struct loop *loop;
	void (*deliver)(void *owner); /* NULL = the owner is a session */
	void *owner;
	UT_hash_handle hh;
};

struct cancels {
	pthread_mutex_t lock;
	struct cancel_key *table;
	unsigned count;
	int peer_id;
	uint32_t next;
	uint16_t *under_way; /* owned; by peer, only with a peer_id */
	unsigned
		nrandom; /* bytes of `random` that are not used yet: a call for each client costs more than a key */
	uint8_t random[1024];
};

struct cancel_mail {
	struct mail mail;
	struct cancels *cancels;
	uint32_t number;
	void (*deliver)(struct session *s);
};

struct cancels *cancels_new(int peer_id)
{
	struct cancels *c = check_alloc(sizeof *c);

	pthread_mutex_init(&c->lock, NULL);
	c->next = 1;
	c->peer_id = peer_id;
	if (peer_id > 0)
		c->under_way = check_alloc((CANCEL_PEER_MAX + 1) * sizeof *c->under_way);
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
	free((*c)->under_way);
	free(*c);
	*c = NULL;
}

static struct cancel_key *find(struct cancels *c, uint32_t number)
{
	struct cancel_key *k;

	HASH_FIND(hh, c->table, &number, sizeof number, k);
	return k;
}

/* Under the lock; 0 = all are in use. */
static uint32_t free_number(struct cancels *c)
{
	uint32_t low = c->peer_id > 0 ? (1u << CANCEL_PEER_SHIFT) - 1 : 0x7fffffff;
	uint32_t high = (uint32_t)c->peer_id << CANCEL_PEER_SHIFT, number;

	if (c->count >= low)
		return 0;
	do {
		number = high | (c->next++ & low);
	} while ((number & low) == 0 || find(c, number) != NULL);
	return number;
}

/* Secret bytes, each handed out once. Under the lock. */
static void draw(struct cancels *c, uint8_t *p, unsigned n)
{
	if (c->nrandom < n) {
		check(RAND_bytes(c->random, sizeof c->random) == 1);
		c->nrandom = sizeof c->random;
	}
	c->nrandom -= n;
	memcpy(p, c->random + c->nrandom, n);
	OPENSSL_cleanse(c->random + c->nrandom, n);
}

static uint32_t add(struct cancels *c, const struct cancel_key *model, uint8_t *secret_r, unsigned nsecret)
{
	struct cancel_key *k = check_alloc(sizeof *k);
	uint32_t number;

	check(nsecret <= CANCEL_SECRET_LONG);
	*k = *model;
	k->nsecret = nsecret;
	pthread_mutex_lock(&c->lock);
	draw(c, k->secret, nsecret);
	memcpy(secret_r, k->secret, nsecret);
	number = free_number(c);
	if (number != 0) {
		k->number = number;
		HASH_ADD(hh, c->table, number, sizeof k->number, k);
		c->count++;
		k = NULL;
	}
	pthread_mutex_unlock(&c->lock);
	free(k);
	return number;
}

uint32_t cancels_add(struct cancels *c, struct house *h, struct session *s, uint8_t *secret_r,
		     unsigned nsecret)
{
	return add(c, &(struct cancel_key){.loop = h->host.loop, .owner = s}, secret_r, nsecret);
}

uint32_t cancels_add_other(struct cancels *c, struct loop *loop, void *owner, void (*deliver)(void *owner),
			   uint8_t *secret_r, unsigned nsecret)
{
	return add(c, &(struct cancel_key){.loop = loop, .owner = owner, .deliver = deliver}, secret_r,
		   nsecret);
}

void cancels_remove(struct cancels *c, uint32_t number)
{
	struct cancel_key *k;

	pthread_mutex_lock(&c->lock);
	k = find(c, number);
	if (k != NULL) {
		HASH_DEL(c->table, k);
		c->count--;
	}
	pthread_mutex_unlock(&c->lock);
	free(k);
}

/* In the session's worker: only this thread removes its keys, so a key that is still there names a live session. */
static void run(struct mail *mail, void *ctx)
{
	struct cancel_mail *m = (struct cancel_mail *)(void *)mail;
	struct cancel_key *k;
	struct cancel_key found = {0};

	(void)ctx;
	pthread_mutex_lock(&m->cancels->lock);
	k = find(m->cancels, m->number);
	if (k != NULL)
		found = *k;
	pthread_mutex_unlock(&m->cancels->lock);
	if (found.deliver != NULL)
		found.deliver(found.owner);
	else if (found.owner != NULL)
		m->deliver(found.owner);
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
		loop = k->loop;
	}
	pthread_mutex_unlock(&c->lock);
	if (m == NULL)
		return false;
	loop_post(loop, &m->mail);
	return true;
}

int cancels_peer(const struct cancels *c, uint32_t number)
{
	int peer = (int)(number >> CANCEL_PEER_SHIFT);

	return c->peer_id == 0 || peer > CANCEL_PEER_MAX || peer == c->peer_id ? 0 : peer;
}

bool cancels_peer_take(struct cancels *c, int peer, unsigned limit)
{
	bool taken;

	check(c->under_way != NULL && peer > 0 && peer <= CANCEL_PEER_MAX);
	pthread_mutex_lock(&c->lock);
	taken = c->under_way[peer] < limit && c->under_way[peer] < UINT16_MAX;
	c->under_way[peer] += taken;
	pthread_mutex_unlock(&c->lock);
	return taken;
}

void cancels_peer_give(struct cancels *c, int peer)
{
	pthread_mutex_lock(&c->lock);
	c->under_way[peer]--;
	pthread_mutex_unlock(&c->lock);
}
