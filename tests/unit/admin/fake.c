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
		out[i] = (struct report_pool){.mode = "transaction", .active = 2, .idle = 1, .size = 20};
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

static void reasons(void *arg, uint64_t pass[NREASONS])
{
	(void)arg;
	pass[REASON_NOT_SELECT] += 9;
}

static void clients(void *arg, struct report_clients *out)
{
	(void)arg;
	*out = (struct report_clients){.total = 12, .active = 3, .idle = 8, .waiting = 1, .pinned = 2};
}

static bool ready(void *arg)
{
	return !((struct fake *)arg)->not_ready;
}

static void hist(void *arg, enum report_hist_id id, struct report_hist *out)
{
	(void)arg;
	if (id != REPORT_QUERY)
		return;
	out->bucket[0] += 1;
	out->bucket[10] += 2;
	out->bucket[HIST_BUCKETS - 1] += 1;
	out->sum_us += 2500000;
}

struct report_source fake_source(struct fake *fake)
{
	return (struct report_source){.arg = fake,
				      .counters = counters,
				      .pools = pools,
				      .caches = caches,
				      .reasons = reasons,
				      .clients = clients,
				      .ready = ready,
				      .hist = hist};
}
