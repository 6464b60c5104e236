/* What a backend holds prepared, looked at after code that may have taken it away unseen (DEALLOCATE in a function). The probe counts; when
 * that is not what our record says, the names are asked for, and the record follows. */
#include "proxy/session/session_private.h"

#include <stdlib.h>

#define PREFIX "pgweir_"

static const char names_query[] =
	"SELECT 'name', name FROM pg_catalog.pg_prepared_statements WHERE NOT from_sql";

bool inventory_right(struct session *s)
{
	struct backend *b = s->backend;
	unsigned held = prepared_unsee(&b->prepared) + backend_sys_count(b);

	if (s->probed_statements != held)
		return false;
	backend_sys_certain(b);
	return true;
}

int inventory_take(struct session *s)
{
	count(&s->house->host.counters, inventories);
	backend_sys_doubt(s->backend);
	return backend_query(s->backend, names_query, WHY_INVENTORY);
}

void inventory_row(struct session *s, struct span name)
{
	char digits[PREPARED_NAME_MAX];
	size_t n = sizeof PREFIX - 1;

	if (name.n <= n || name.n - n >= sizeof digits)
		return;
	memcpy(digits, name.p + n, name.n - n);
	digits[name.n - n] = '\0';
	prepared_see(&s->backend->prepared, strtoull(digits, NULL, 10)); /* 0: one of our own */
}

/* What is gone is gone for the client as well: it was its own code. */
void inventory_done(struct session *s)
{
	uint64_t id;

	while ((id = prepared_unseen(&s->backend->prepared)) != 0) {
		prepared_forget(&s->backend->prepared, id);
		if (s->probe_tainted)
			stmts_forget_number(&s->stmts, id);
	}
}
