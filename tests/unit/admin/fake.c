#include "tests/unit/admin/fake.h"

#include <stdio.h>
#include <string.h>

static void counters(void *arg, int64_t sum[NCOUNTERS])
{
	(void)arg;
	sum[COUNTER_cache_hits] += 41;
	sum[COUNTER_wait_us] += 1500000;
	sum[COUNTER_bytes_sent] += 5000000000;
	sum[COUNTER_cache_bytes] += 4096;
}

static void name(char out[REPORT_NAME], const char *text)
{
	snprintf(out, REPORT_NAME, "%s", text);
}

static unsigned pools(void *arg, struct report_pool *out, unsigned max)
{
	struct fake *fake = arg;

	if (fake->many_pools != 0) {
		for (unsigned i = 0; i < fake->many_pools && i < max; i++) {
			out[i] = (struct report_pool){.mode = "transaction", .active = 1};
			snprintf(out[i].database, REPORT_NAME, "db%u", i);
		}
		return fake->many_pools;
	}
	/* Two workers share a pool. */
	for (unsigned i = 0; i < 2; i++) {
		out[i] = (struct report_pool){.mode = "transaction",
					      .active = 2,
					      .idle = 1,
					      .size = 20,
					      .v = {[TALLY_wait_us] = 1500000, [TALLY_hits] = 20}};
		name(out[i].database, "shop");
		name(out[i].user, "api");
		out[i].waiting = i;
		out[i].maxwait_us = 250 * i;
	}
	out[2] = (struct report_pool){.mode = "session", .login = 1, .size = 5};
	name(out[2].database, "a\"b\\c\nd");
	name(out[2].user, "bad\xff"
			  "byte \xc3\xa9");
	return 3;
}

static unsigned caches(void *arg, struct report_cache *out, unsigned max)
{
	(void)arg;
	(void)max;
	out[0] = (struct report_cache){.state = "streaming",
				       .on = true,
				       .pos = 0x123456789aull,
				       .bytes = 4096,
				       .entries = 7,
				       .lag_us = 1200};
	name(out[0].database, "shop");
	out[1] = (struct report_cache){
		.state = "waiting to retry", .off_reason = "no \"wal_level\"", .epoch = 3};
	name(out[1].database, "attic");
	return 2;
}

static unsigned databases(void *arg, struct report_database *out, unsigned max)
{
	(void)arg;
	(void)max;
	memset(out, 0, 2 * sizeof *out);
	name(out[0].database, "shop");
	out[0].tally.pass[REASON_NOT_SELECT] = 9;
	out[0].tally.query.bucket[0] = 1;
	out[0].tally.query.bucket[10] = 2;
	out[0].tally.query.bucket[HIST_BUCKETS - 1] = 1;
	out[0].tally.query.sum_us = 2500000;
	/* All that did not fit. */
	out[1].tally.pass[REASON_NOT_SELECT] = 3;
	return 2;
}

static const char *pin_of(unsigned pin)
{
	return pin == 0 ? "temp" : NULL;
}

static void clients(void *arg, struct report_clients *out)
{
	(void)arg;
	*out = (struct report_clients){
		.total = 12, .active = 3, .idle = 8, .waiting = 1, .pinned = 2, .pins = {2}};
}

static bool ready(void *arg)
{
	return !((struct fake *)arg)->not_ready;
}

struct report_source fake_source(struct fake *fake)
{
	return (struct report_source){.arg = fake,
				      .counters = counters,
				      .pools = pools,
				      .caches = caches,
				      .databases = databases,
				      .clients = clients,
				      .ready = ready,
				      .pin_name = pin_of};
}
