/* When is the cache current? The serve rule. */
#include "proxy/cache/parts.h"
#include "protocol/lsn.h"

/* At PROOF_NOW every transaction that is visible in s, and so every one that was acknowledged before the probe was sent, has been
 * applied. Its commit record was in the log before it became visible, hence before insert was read (a statement's
 * snapshot comes before its functions are evaluated).
 *  - pos >= insert: the stream has brought all records up to there, and pos rises after they were applied.
 *  - pos >= flush, and s explained: what is completed in s has been received, or was completed in E, whose insert LSN the stream
 *    has passed. Received means applied: proof_received comes after the versions were raised. (What was flushed before
 *    it became visible lies below flush; the rest is why the explanation is needed.)
 * The reader looks its entry up after this. pos is read with acquire, and the received xids under their lock, so it sees the
 * versions that were raised before. */
enum proof cache_prove_again(struct cache *c, uint64_t epoch, uint64_t insert, uint64_t flush,
			     const struct snapshot *s, uint64_t *target_r)
{
	uint32_t block = atomic_load_explicit(&c->wal_block, memory_order_relaxed);
	uint32_t segment = atomic_load_explicit(&c->wal_segment, memory_order_relaxed);
	uint64_t pos, target = 0;

	insert = lsn_normalise(insert, block, segment);
	flush = lsn_normalise(flush, block, segment);
#ifdef PGWEIR_MUTATE_PROBE
	insert = flush = 0;
#endif
	pos = watermark_pos(&c->watermark);
	if (pos >= insert)
		proof_rebase(&c->proof, &c->versions, epoch, s);
	else if (pos < flush)
		target = flush;
	else if (!proof_explains(&c->proof, &c->versions, epoch, s))
		target = insert;
	/* Last: all that was looked at belongs to the epoch under which the question was asked. */
	if (epoch % 2 == 0 || cache_epoch(c) != epoch)
		return PROOF_OFF;
	if (target == 0)
		return PROOF_NOW;
	*target_r = target;
	return PROOF_WAIT;
}

enum proof cache_prove(struct cache *c, uint64_t epoch, uint64_t insert, uint64_t flush,
		       const struct snapshot *s, uint64_t *target_r)
{
	confirm(c, epoch, s);
	return cache_prove_again(c, epoch, insert, flush, s, target_r);
}
