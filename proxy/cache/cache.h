/* cache.h - the coherent cache of one database: entries, versions, position.
 * Source  docs/coherence.md; the rules' names (serve, fill, unconfirmed, position, ..) are used there.
 * Shape   Versions: a table of 2^20 counters; a readkey hash selects one; a change raises the counters of all that it touches. A
 *         lease is the versions of a read set taken before its statement left; an entry carries its lease and is alive as long
 *         as all of them (and the epoch) are unchanged. Two keys that share a counter only cost a needless miss.
 *         Entries: sharded table, full keys compared, S3-FIFO eviction by bytes.
 *         Position: `pos` rises only after the invalidations of all commits up to it were applied.
 *         Epoch: odd = on, even = off. It changes when the cache goes on or off, gets a new catalog, or is emptied by a change
 *         that nobody can tell apart. Everything that was learned or asked under one epoch is worthless under another: whoever
 *         resolves, asks or fills notes the epoch first and hands it in with the result.
 * Owner   counted; held by origin, workers and sessions' contexts.
 * Thread  any, except the functions under "feed" (the feed's thread only). Locks never leave this folder.
 * Errors  memory gone or too large: the answer is not stored. */
#ifndef PROXY_CACHE_CACHE_H
#define PROXY_CACHE_CACHE_H

#include "proxy/base/blob.h"
#include "proxy/base/counters.h"
#include "proxy/base/mailbox.h"
#include "proxy/cache/change.h"
#include "proxy/sql/catalog.h"
#include "protocol/snapshot.h"
#include "protocol/span.h"

struct cache;
struct entry;
struct row_value;
struct signatures;

struct cache_settings {
	size_t bytes;	   /* bound of all that the cache owns */
	size_t max_result; /* bytes of one answer */
};

struct cache *cache_new(const struct cache_settings *set);
struct cache *cache_ref(struct cache *c);
void cache_unref(struct cache *c);
void cache_resize(struct cache *c, const struct cache_settings *set);

/* --- state; any thread --- */
bool cache_on(const struct cache *c);
/* Read it before cache_catalog() and before a probe is sent. A worker that keeps something resolved from a catalog compares
 * the epoch under which it was got; when it differs, it gets the catalog again. */
uint64_t cache_epoch(const struct cache *c);
uint64_t cache_position(const struct cache *c);
/* Counted; NULL while off. */
struct catalog *cache_catalog(struct cache *c);
/* How often a catalog has come that gives new sessions other settings, or other roles, than the one before. */
unsigned cache_settings_changes(const struct cache *c);
/* Why it is off, for logs and stats (static text). */
const char *cache_off_reason(const struct cache *c);
size_t cache_bytes(const struct cache *c);
size_t cache_entries(const struct cache *c);

/* --- readers; any thread --- */

#define LEASE_KEYS 128	  /* more keys than that: reads_keys falls back to whole relations */
#define LEASE_OTHERWISE 4 /* rules for rows of the answer (reads.h) */
#define LEASE_ROWS_MAX \
	1000 /* rows that an answer may depend on by being in it; each costs 8 bytes and a look at every hit */
#define LEASE_XIDS 32 /* more unconfirmed transactions than that: the answer is not stored */

struct lease_key {
	uint32_t slot;
	uint32_t version;
};

struct lease {
	uint64_t epoch;
	uint64_t began_us; /* clock_us() */
	uint64_t raised;   /* rows raised so far (versions_recent) */
	unsigned nkeys;
	unsigned
		notherwise; /* behind the keys: what stands for the rows of the answer when these cannot be told */
	struct lease_key key[LEASE_KEYS + LEASE_OTHERWISE];
	unsigned nxids;
	uint32_t xid[LEASE_XIDS]; /* unconfirmed at registration and touching one of our relations */
	bool full;		  /* more than fit: never store */
};

/* Registers: reads the versions, then the unconfirmed transactions. Before the statement leaves. `epoch` was read before the
 * catalog was got that the keys were resolved with; if it has passed since, nothing will be stored. Of an answer that will depend on
 * the rows in it the last `notherwise` of the `nkeys` keys are the ones that count when the rows cannot be told at the end. */
void lease_take(struct cache *c, uint64_t epoch, const uint64_t *keys, unsigned nkeys, unsigned notherwise,
		const uint32_t *relids, unsigned nrels, struct lease *lease_r);
/* Does the fill need a snapshot taken in front of its statement? Also when the lease is full because of unconfirmed transactions:
 * the answer will not be stored, but cache_store (call it all the same) learns from the snapshot, and the next lease is not. */
static inline bool lease_needs_snapshot(const struct lease *l)
{
	return l->nxids > 0;
}
/* Are all these versions unchanged? */
bool lease_keys_alive(const struct cache *c, uint64_t epoch, const struct lease_key *keys, unsigned nkeys);

/* Stores a complete answer. `s0` = snapshot taken after lease_take and before the statement's own, on the same backend (NULL when
 * none was needed). Returns 1 = stored, 0 = refused by the fill rule, -1 = too large or no memory. The blob gets a reference
 * of its own. Also confirms. */
int cache_store(struct cache *c, struct span key, struct blob *answer, const struct lease *l,
		const struct snapshot *s0);
/* The same with the keys of the rows in the answer, in place of the `otherwise` keys. */
int cache_store_rows(struct cache *c, struct span key, struct blob *answer, const struct lease *l,
		     const struct snapshot *s0, const uint64_t *rows, unsigned nrows);

/* A live entry, counted, or NULL. Call it again after the proof: only then may it be served. */
struct entry *cache_find(struct cache *c, struct span key);
/* The same; *killed_r tells of an entry that a change has ended since it was stored. It is told once, to the first who looks. */
struct entry *cache_look(struct cache *c, struct span key, bool *killed_r);
/* Would it be found now? For who has waited for his proof with the entry in hand. */
bool cache_alive(const struct cache *c, const struct entry *e);
struct blob *entry_answer(struct entry *e);	 /* borrowed from the entry */
uint64_t entry_stored_us(const struct entry *e); /* clock_us(): it shows nothing that was committed later */
uint64_t entry_took_us(const struct entry *e);	 /* from the lease to the complete answer */
struct entry *entry_ref(struct entry *e);
/* Put together from rows that were read at different times: true at one moment only if that lies behind entry_stored_us. So the proof
 * has to be asked for after that, and an entry that took its place meanwhile will not do. */
bool entry_made(const struct entry *e);
void entry_unref(struct entry *e);

/* --- entity rows; any thread (docs/coherence.md) --- */

/* Rows are kept only of tables that somebody reads by key, with a statement of another shape than the one that brings them. `shape`: a
 * hash, 0 = one that does not read by key. */
void cache_rows_ask(struct cache *c, uint32_t relid, uint64_t shape);
bool cache_rows_wanted(const struct cache *c, uint32_t relid, uint64_t shape);

/* One row that an answer has shown. */
struct cache_row {
	struct span key;  /* of its entry: for whom, under which settings, relation, primary key */
	uint64_t readkey; /* readkey_row */
	const struct row_value *value; /* as row_write wants them; NULL: it is not there */
	unsigned nvalues;
};

#define CACHE_ROWS_MAX 64u /* at once */

/* Rows of an answer that cache_store has just accepted with the same lease and snapshot. `whole`: where in the lease the readkey_whole
 * of their relation is. How many are there now. */
unsigned cache_put_rows(struct cache *c, const struct lease *l, const struct snapshot *s0, unsigned whole,
			const struct cache_row *rows, unsigned n);
/* Rows of `relid` under keys that begin with `who` are kept hot from now on, in this epoch (refresh.h). */
void cache_refresh(struct cache *c, uint64_t epoch, uint32_t relid, struct span who);
/* Something about statements that holds as long as the epoch, under a key of its own. */
void cache_put_note(struct cache *c, uint64_t epoch, struct span key, struct span note);
/* Stores an answer that was put together from `rows` (entries of rows of one relation, at least one): it depends on what they depend on.
 * 1 = stored. */
int cache_put_made(struct cache *c, struct span key, struct blob *answer, struct entry *const *rows,
		   unsigned n);

/* Will every change that is applied from now on raise the keys of these columns (readkey_row)? Asks the feed to, if not. Before
 * lease_take. */
bool cache_signature(struct cache *c, uint32_t relid, uint16_t ncols, const int16_t *attnums);

/* A snapshot of the primary, asked for under `epoch`: what it shows completed is no longer unconfirmed. */
void cache_confirm(struct cache *c, uint64_t epoch, const struct snapshot *s);

/* --- proof; any thread --- */
enum proof {
	PROOF_NOW,  /* proven: look up and serve */
	PROOF_WAIT, /* not yet: cache_prove_again() when cache_position() >= *target_r */
	PROOF_OFF,  /* the cache is off, or was in between: ask PostgreSQL */
};

/* One answer of a probe that was asked after the read arrived: insert and flush LSN (normalised here, sizes as given by
 * cache_set_wal_sizes) and the snapshot. `epoch` = cache_epoch() before it was sent. Also confirms. When proven by the insert LSN
 * the snapshot becomes the new base E. */
enum proof cache_prove(struct cache *c, uint64_t epoch, uint64_t insert, uint64_t flush,
		       const struct snapshot *s, uint64_t *target_r);
/* The same for the same probe, later: commits that came in may explain the snapshot. The target is first the flush LSN, then, when
 * that did not suffice (rolled back transactions, other databases), the insert LSN, which always does. */
enum proof cache_prove_again(struct cache *c, uint64_t epoch, uint64_t insert, uint64_t flush,
			     const struct snapshot *s, uint64_t *target_r);

/* Wake `mb` with `mail` once pos >= target (or the cache goes off). One-shot; cancel is safe at any time from the owner of mb and
 * returns false when the mail is already in mb: its run is still to come (or is running). A zeroed struct was never waiting. */
struct position_wait {
	struct position_wait *next;
	uint64_t target;
	struct mailbox *mb;
	struct mail mail; /* .run set by the caller */
	int state;
};
void position_wait(struct cache *c, struct position_wait *w);
bool position_cancel(struct cache *c, struct position_wait *w);

/* --- flights: one filler per key; any thread --- */
struct flight_wait {
	struct flight_wait *next;
	struct mailbox *mb;
	struct mail mail; /* .run set by the caller; run when the leader is done, whatever the outcome */
	int state;
};
/* true = the caller leads and must call flight_done; false = `w` was queued behind the leader (followers then find or fill
 * for themselves). `w` NULL: does not queue. */
bool flight_join(struct cache *c, struct span key, struct flight_wait *w);
void flight_done(struct cache *c, struct span key);
bool flight_cancel(struct cache *c, struct span key, struct flight_wait *w);

/* --- feed; its thread only --- */
void cache_set_wal_sizes(struct cache *c, uint32_t block, uint32_t segment);
/* On: slot, control connection and catalog are there and the first proof has passed: `first` is its snapshot, asked for after the
 * slot was there and after the last cache_turn_off, and pos >= its insert LSN. A transaction that `first` shows running may have
 * its commit record before the slot's start: the stream will never bring it, so nothing is stored that may have missed it. */
void cache_turn_on(struct cache *c, struct catalog *catalog, uint64_t pos, const struct snapshot *first);
/* Off: a new epoch, everything dropped, all waiters woken, what was received is forgotten. `why` is static text. Harmless when
 * off. */
void cache_turn_off(struct cache *c, const char *why);
/* A new catalog (counted, like turn_on's: the cache takes a reference of its own): a new epoch, everything dropped, stays on. Before
 * cache_apply and cache_advance of the transaction that made it necessary. Ignored while off. */
void cache_set_catalog(struct cache *c, struct catalog *catalog);
/* For whoever reads the transactions: signatures.h. cache_apply ends the transaction there. */
struct signatures *cache_signatures(struct cache *c);
/* Is a row of it kept hot for anybody? Then its new versions are wanted in the changes. */
bool cache_refresh_wanted(struct cache *c, uint32_t relid);
/* How many changed rows wait for a snapshot that shows their transaction: hand one to cache_confirm. */
unsigned cache_refreshing(const struct cache *c);
/* One committed transaction, also while off (between slot and turn_on). Does not move pos. One that may have changed rights or
 * definitions comes with `everything`: then answers of fills that cannot see it yet are refused as well. */
void cache_apply(struct cache *c, const struct change *change);
/* Everything up to `lsn` was applied. Wakes those who wait for it. */
void cache_advance(struct cache *c, uint64_t lsn);

/* The cache's own counters, added to `sum`: cache_evictions, cache_resets, invalidations, cache_bytes, cache_entries. The rest is
 * counted by those who ask. */
void cache_counters(const struct cache *c, int64_t sum[NCOUNTERS]);

#endif
