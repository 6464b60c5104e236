/* stream.h - the running feed and its control connection: what arrives becomes invalidations, positions and new catalogs.
 * Source  docs/coherence.md, "connections", "position", "catalog".
 * Shape   stream_round() waits once in poll(2) and does what is due. Stages, in this order: the catalog is loaded; a flushing
 *         message and a probe behind it give the first snapshot; the position reaches that probe; the catalog is verified; on.
 *         HOLD: while it is not known whether a transaction has changed the catalog, nothing more is read from the stream and the
 *         position rests before that transaction; reads then go to PostgreSQL. What was learned of the catalog counts when all that its
 *         snapshot shows completed have told the other backends (ending.h): until then a fill might run by what was before.
 * Owner   origin; stream_close ends both connections.
 * Thread  the origin's; want_* flags: any.
 * Errors  -1 and the reason: start anew. */
#ifndef PROXY_ORIGIN_STREAM_H
#define PROXY_ORIGIN_STREAM_H

#include "proxy/base/counters.h"
#include "proxy/base/toplist.h"
#include "proxy/cache/cache.h"
#include "proxy/origin/control.h"
#include "proxy/origin/feed.h"

#define STREAM_NUDGE_GAP_US 500u /* between two flushing messages; each burns a transaction id */
#define STREAM_NUDGE_LOST_US \
	1000000u		 /* the next one waits until the last has come through, at most so long */
#define STREAM_RETRY_MIN_US 500u /* asking again whether received transactions are visible */
#define STREAM_RETRY_MAX_US 50000u
#define STREAM_ENDING_MIN_US 100u /* looking again whether a commit has ended */
#define STREAM_ENDING_MAX_US 20000u
#define STREAM_RIPE_MIN_US 5000u /* looking whether tables that were added to the publication count now */
#define STREAM_RIPE_MAX_US 500000u
#define STREAM_CONFIRM_MIN_US 1000u /* asking whether transactions of changed rows are visible */
#define STREAM_CONFIRM_MAX_US 50000u
#define STREAM_XIDS_MAX 65536u /* received and not yet seen in a snapshot; more than that: hold */
#define STREAM_CHANGED_ROWS 200u
#define STREAM_BATCH 4096u /* messages before the other descriptors get their turn */

enum stream_stage {
	STREAM_LOADING,
	STREAM_NUDGING,
	STREAM_PROBING,
	STREAM_REACHING,
	STREAM_VERIFYING,
	STREAM_ON,
};

/* An answer about the catalog that waits until all backends know what it shows. */
struct unsettled {
	enum control_job job; /* CONTROL_CHECK, CONTROL_LOAD; CONTROL_IDLE = none */
	struct ending ending;
	struct snapshot snapshot; /* owned */
	char *fingerprint;	  /* owned */
	struct catalog *catalog;  /* counted; of a load that may be used */
	bool changed;		  /* a check: the catalog is out of date */
	uint64_t epoch;		  /* the cache's, before the question was sent */
	uint64_t ask_at_us, retry_us;
};

struct stream {
	struct cache *cache;	   /* borrowed */
	struct counters *counters; /* borrowed */
	struct toplist *changes;   /* owned: relations by the transactions that changed them */
	const char *database;	   /* borrowed: their group */
	uint64_t catalog_poll_us;  /* 0 = never */
	struct link_identity server;

	struct feed feed;
	struct control control;
	struct apply apply;
	struct published published;
	struct catalog *catalog; /* counted */

	enum stream_stage stage;
	_Atomic uint64_t pos;
	struct probe first; /* insert normalised */

	struct unsettled unsettled;
	char *settled; /* owned: the newest fingerprint that all backends know */

	bool refused; /* the last error: trying again soon will not help */
	bool hold;
	bool held_commit; /* apply.change waits, and belongs to held_lsn */
	uint64_t held_lsn;
	bool reread; /* the stream may have messages although its socket is silent */
	bool want_check;
	bool want_load;
	bool want_nudge;
	uint64_t ask_at_us; /* no check or load before */
	uint64_t retry_us;
	uint64_t poll_at_us; /* the next check of its own */
	uint64_t ripe_us;    /* tables wait until they count: how long to the next look */
	uint64_t nudge_lsn;  /* of the last one */
	uint64_t nudge_us;
	uint64_t confirm_at_us; /* no question for changed rows before */
	uint64_t confirm_us;	/* from one to the next */
	uint64_t epoch;		/* the cache's, before the last question was sent */

	uint32_t *xids; /* owned; received, not yet shown completed */
	size_t nxids, capxids;
	struct snapshot seen; /* the newest under which the catalog was found unchanged */

	atomic_bool nudge_wanted;     /* by readers */
	_Atomic uint64_t suspicions;  /* raised by sessions */
	_Atomic uint64_t looked_into; /* of them */
	uint64_t looking_into;
	atomic_bool suspected; /* by sessions */
};

/* `publication` is borrowed; NULL = test_decoding, else pgoutput. */
void stream_init(struct stream *s, struct cache *cache, struct counters *counters, const char *database,
		 const char *publication, size_t max_change_keys, uint64_t catalog_poll_us);
void stream_done(struct stream *s);
/* Both connections are there and the feed runs: begin with the stages. */
void stream_begin(struct stream *s, uint64_t now_us);
void stream_close(struct stream *s);
/* Returns early when wake_fd (an eventfd, drained here) is written. */
int stream_round(struct stream *s, int wake_fd, struct err *err);

#endif
