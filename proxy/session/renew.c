/* After a reload, clients that are connected go by the new configuration from their next transaction on: what somebody has switched off
 * because of a doubt has to be off for all. What a client has set itself stays. What bounds its reads by its own writes (floor_us) is kept
 * whatever the coherence is, so that it may change here. */
#include "proxy/session/session_private.h"

#include "config/config.h"
#include "proxy/backend/target.h"

#include <string.h>

/* Nothing of the client is under way that was begun by the old rules. */
static bool between_transactions(const struct session *s)
{
	return s->state == SESSION_READY && s->txn == TXN_NONE && s->status == 'I' && s->pool != NULL &&
	       !s->fill.on && !s->fill.leading && !s->flight_waiting &&
	       (s->backend == NULL || expect_head(&s->backend->expects) == NULL);
}

/* Its database is still there, and what would have to be begun anew is as before. */
static bool may_go_by(const struct session *s, const struct pool_target *target)
{
	return target->config == s->house->config && target->policy.pool_mode == s->policy->pool_mode &&
	       strcmp(target->user, s->target->user) == 0;
}

/* Its feed has ended under it, and another one may be had. */
static void renew_served(struct session *s)
{
	house_leave_served(s->house, &s->served);
	s->served = house_take_served(s->house, s->database);
}

void session_renew_feed(struct session *s)
{
	if (s->served != NULL && s->served->dead && between_transactions(s))
		renew_served(s);
}

void session_renew(struct session *s)
{
	struct pool_target *target;

	if (s->config == s->house->config || !between_transactions(s))
		return;
	target = pool_target(s->pool);
	if (!may_go_by(s, target)) {
		target_unref(target);
		return;
	}
	target_unref(s->target);
	config_unref(s->config);
	s->target = target;
	s->config = config_ref(s->house->config);
	s->policy = &target->policy;
	wishes_renew(&s->wishes, s->policy);
	if (s->replication != NULL)
		return;
	renew_served(s);
}
