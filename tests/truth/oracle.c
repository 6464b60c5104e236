#include "tests/truth/oracle.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>

#define PRINTED_MAX 20u

static _Atomic int64_t issued[ORACLE_SLOTS], acked[ORACLE_SLOTS], seen[ORACLE_SLOTS];
static atomic_uint_fast64_t violations, unsound;

static void raise_to(_Atomic int64_t *at, int64_t version)
{
	int64_t now = atomic_load(at);

	while (now < version && !atomic_compare_exchange_weak(at, &now, version))
		;
}

void oracle_issued(unsigned slot, int64_t version)
{
	raise_to(&issued[slot], version);
}

void oracle_acked(unsigned slot, int64_t version)
{
	raise_to(&acked[slot], version);
}

int64_t oracle_floor(unsigned slot)
{
	int64_t a = atomic_load(&acked[slot]), b = atomic_load(&seen[slot]);

	return a > b ? a : b;
}

static void violation(const char *what, unsigned slot, int64_t want, int64_t got, const char *where,
		      const char *how, bool direct)
{
	if (direct)
		atomic_fetch_add(&unsound, 1);
	if (atomic_fetch_add(&violations, 1) < PRINTED_MAX)
		fprintf(stderr, "%s: row %u through %s (%s): got %" PRId64 ", not %" PRId64 "\n", what, slot,
			where, how, got, want);
}

void oracle_returned(unsigned slot, int64_t floor, int64_t version, const char *where, const char *how,
		     bool direct)
{
	if (version < floor)
		violation("STALE", slot, floor, version, where, how, direct);
	else if (version > atomic_load(&issued[slot]))
		violation("NEVER COMMITTED", slot, atomic_load(&issued[slot]), version, where, how, direct);
	else
		raise_to(&seen[slot], version);
}

void oracle_missing(unsigned slot, int64_t floor, const char *where, const char *how, bool direct)
{
	violation("MISSING", slot, floor, -1, where, how, direct);
}

int64_t oracle_ceiling(unsigned slot)
{
	return atomic_load(&issued[slot]);
}

void oracle_torn(unsigned slot, int64_t got, const char *where, const char *how, bool direct)
{
	violation("TORN", slot, 0, got, where, how, direct);
}

void oracle_own(unsigned slot, int64_t wrote, int64_t got, const char *where, const char *how, bool direct)
{
	if (wrote != got)
		violation("OWN WRITE", slot, wrote, got, where, how, direct);
}

uint64_t oracle_violations(void)
{
	return atomic_load(&violations);
}

uint64_t oracle_unsound(void)
{
	return atomic_load(&unsound);
}
