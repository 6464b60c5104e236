/* What is noted of a statement before it goes, and what has to stand in front of it or behind it. */
#include "proxy/session/forward_private.h"

#include "protocol/write.h"

static bool resets(const struct facts *f)
{
	if (f->effects & EFFECT_RESET_ALL)
		return true;
	for (int i = 0; i < f->nstmts; i++)
		for (unsigned k = 0; k < f->stmts[i].nsettings; k++)
			if (setting_resets(f->stmts[i].settings[k].action))
				return true;
	return false;
}

void forward_reset_sent(struct session *s, bool sync)
{
	if (s->resetting == NULL)
		return;
	image_reset_follows(s, s->resetting->facts, sync);
	stmt_unref(s->resetting);
	s->resetting = NULL;
}

/* SET TRANSACTION is refused behind the first snapshot of a transaction; of what was answered here the server knows nothing. */
static void take_owed_snapshot(struct session *s, const struct stmt *stmt)
{
	if (!s->queried || (stmt->facts->effects & EFFECT_TXN_MODE) == 0 || s->backend->status == 'E')
		return;
	s->queried = false;
	if (backend_sys_apart(s->backend, SYS_SNAPSHOT, NULL, 0, WHY_BEGIN, 0) != 0)
		s->backend->broken = true;
}

void forward_note(struct session *s, struct stmt *stmt)
{
	take_owed_snapshot(s, stmt);
	s->binds_change |= under_bound(s, stmt->facts);
	txn_note(s, stmt);
	copy_note(s, stmt);
	if (resets(stmt->facts)) {
		if (s->resetting != NULL)
			stmt_unref(s->resetting);
		s->resetting = stmt_ref(stmt);
	}
	if (!hold_unsettles(stmt->facts))
		return;
	hold_for_sql(s, stmt->facts);
	s->binds_unsettle = true;
	if (s->deallocating != NULL)
		stmt_unref(s->deallocating);
	s->deallocating = stmt_ref(stmt);
	s->deallocating_at = 0;
}

void forward_close_begin_portal(struct session *s)
{
	struct expect e = {.kind = EXPECT_CLOSE, .why = WHY_BEGIN};

	if (!s->begin_portal || s->bound_unnamed)
		return;
	s->begin_portal = false;
	write_close(conn_out(s->backend->conn), 'P', span_str(""));
	if (expect_push(&s->backend->expects, &e) != 0)
		s->backend->broken = true;
}

void forward_close_failed_portal(struct session *s)
{
	if (!s->query_failed || s->bound_unnamed)
		return;
	s->query_failed = false;
	s->begin_portal = true;
}
