/* Recent proofs, for reads that need not be of this very moment. */
#include "proxy/base/clock.h"
#include "proxy/origin/fresh_private.h"

const struct snapshot *fresh_snapshot(const struct fresh *f)
{
	bool proven = f->proven_epoch != 0 && f->proven_epoch == cache_epoch(origin_cache(f->origin)) &&
		      f->generation == origin_generation(f->origin);

	return proven && f->proven.xmax != 0 ? &f->proven : NULL;
}

bool fresh_within(struct fresh *f, uint64_t after_us, uint64_t within_us)
{
	uint64_t now_us = clock_us(), age_us = now_us - f->proven_us;
	uint64_t renew_us = within_us / 4 < FRESH_RENEW_US ? within_us / 4 : FRESH_RENEW_US;
	bool proven = f->proven_epoch != 0 && f->proven_epoch == cache_epoch(origin_cache(f->origin)) &&
		      f->generation == origin_generation(f->origin);

	if ((!proven || age_us > renew_us || f->proven_us <= after_us) && f->asking == NULL &&
	    f->nrounds == 0 && !f->refresh) {
		f->refresh = true;
		loop_later(f->loop, &f->later);
	}
	return proven && f->proven_us > after_us && age_us < within_us;
}
