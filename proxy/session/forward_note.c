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

/* May it undo what was put back behind a RESET, and not the RESET? Of several statements a later one may have been a SAVEPOINT, or a COMMIT. */
static bool undoes(const struct session *s, const struct facts *f)
{
	const uint32_t commands = COMMAND_BIT(COMMAND_ROLLBACK) | COMMAND_BIT(COMMAND_TXN);

	return (f->commands & commands) != 0 && s->touched.n > 0 && image_was_reset(s);
}

/* Does it take away what is prepared, also ours? */
static bool forgets(const struct facts *f)
{
	for (int i = 0; i < f->nstmts; i++)
		if ((f->stmts[i].command == COMMAND_DEALLOCATE && f->stmts[i].name == NULL) ||
		    (f->stmts[i].command == COMMAND_DISCARD && (f->stmts[i].effects & EFFECT_RESET_ALL)))
			return true;
	return false;
}

void forward_ran(struct session *s, bool sync)
{
	if (s->forgets)
		backend_sys_doubt(s->backend);
	s->restore_due |= s->resetting > 0 && s->startup.n > 0;
	/* Behind a simple query the answer shows what is left to do. In a failed transaction it may have been a ROLLBACK. */
	if (!sync && (s->resetting > 0 || (s->restore_due && s->backend->status == 'E')))
		image_put_back(s, false);
	s->resetting = sync || s->resetting == 0 ? 0 : s->resetting - 1;
}

bool forward_restores(const struct session *s)
{
	const struct expects *q = &s->backend->expects;

	if (!s->restore_due || s->backend->copying_in)
		return false;
	return q->batches_sent != q->batches_done || (!s->unsynced && s->status != 'E');
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
	if (s->resetting < UINT8_MAX && (resets(stmt->facts) || undoes(s, stmt->facts)))
		s->resetting++;
	s->forgets |= forgets(stmt->facts);
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
