#include "proxy/sql/effect.h"

#include "proxy/sql/builtins.h"
#include "proxy/sql/setting.h"

#include <strings.h>

/* What the visitor of all nodes needs to know and finds. */
struct finder {
	struct stmt_facts *out;
	struct settings settings;
	bool creates;  /* the statement makes objects: pg_temp in it means a temporary one */
	bool modifies; /* INSERT, UPDATE, DELETE or MERGE was seen */
	bool into;
};

static bool is_temp_schema(struct span name)
{
	return name.n >= 7 && memcmp(name.p, "pg_temp", 7) == 0 && (name.n == 7 || name.p[7] == '_');
}

static uint32_t class_effects(enum builtin_class class)
{
	switch (class) {
	case BUILTIN_NONE: return EFFECT_FUNCTIONS | EFFECT_TAINT;
	case BUILTIN_IMMUTABLE:
	case BUILTIN_SETTINGS:
	case BUILTIN_STABLE:
	case BUILTIN_VOLATILE: return 0;
	case BUILTIN_INPUT: return EFFECT_FUNCTIONS; /* as see_type */
	case BUILTIN_SEQUENCE: return EFFECT_SEQUENCE;
	case BUILTIN_ADVISORY: return EFFECT_ADVISORY | EFFECT_LOCKS;
	case BUILTIN_XACT_LOCK: return EFFECT_LOCKS;
	case BUILTIN_SETTING: return EFFECT_TAINT; /* set_config where its name is not to be seen */
	case BUILTIN_WRITES: return EFFECT_WRITES;
	case BUILTIN_UNSAFE: break;
	}
	return EFFECT_FUNCTIONS | EFFECT_TAINT | EFFECT_WRITES;
}

static uint32_t sequence_effects(struct span name)
{
	return span_eq(name, span_str("nextval")) || span_eq(name, span_str("setval")) ? EFFECT_WRITES
										       : EFFECT_SEQUENCE_READ;
}

static void see_function(struct finder *f, const PgQuery__FuncCall *call)
{
	struct span name = tree_catalog_name(call->funcname, call->n_funcname);
	enum builtin_class class = builtin_function(name);
	const char *setting = call->n_args > 0 ? tree_const_text(call->args[0]) : NULL;

	if (class == BUILTIN_SETTING && setting != NULL)
		f->out->effects |= setting_add(&f->settings, SETTING_SET, setting,
					       call->n_args > 1 ? call->args[1] : NULL);
	else
		f->out->effects |= class_effects(class);
	if (class == BUILTIN_SEQUENCE)
		f->out->effects |= sequence_effects(name);
}

/* `x.f` calls the function f when x has no field of that name. Fields named like harmless functions and like
 * functions of users are common, and the catalog has the last word on them (harmless.c). */
static void see_field(struct finder *f, struct span name, bool certain)
{
	enum builtin_class class = builtin_function(name);

	if (class != BUILTIN_NONE || certain)
		f->out->effects |= class_effects(class);
	if (class == BUILTIN_SEQUENCE)
		f->out->effects |= sequence_effects(name);
}

static void see_indirection(struct finder *f, const PgQuery__AIndirection *ind)
{
	for (size_t i = 0; i < ind->n_indirection; i++)
		if (ind->indirection[i]->node_case == PG_QUERY__NODE__NODE_STRING)
			see_field(f, tree_string(ind->indirection[i]), true);
}

static void see_operator(struct finder *f, PgQuery__Node *const *parts, size_t n)
{
	struct span name = tree_catalog_name(parts, n);

	if (n == 0 || (n == 1 && name.n > 0 && name.p[0] >= 'A' && name.p[0] <= 'Z'))
		return; /* IN (SELECT ..) has no name, BETWEEN is one of several words */
	if (builtin_operator(name) == BUILTIN_NONE)
		f->out->effects |= EFFECT_FUNCTIONS | EFFECT_TAINT;
}

static void see_type(struct finder *f, const PgQuery__TypeName *type)
{
	/* A domain's CHECK and a type's input may call anything; they are not known to change the session. */
	if (builtin_type_name(tree_catalog_name(type->names, type->n_names)) == NULL)
		f->out->effects |= EFFECT_TYPES;
}

static void see_sample(struct finder *f, const PgQuery__RangeTableSample *sample)
{
	struct span method = tree_catalog_name(sample->method, sample->n_method);

	if (!span_eq(method, span_str("system")) && !span_eq(method, span_str("bernoulli")))
		f->out->effects |= EFFECT_FUNCTIONS | EFFECT_TAINT;
}

static void see_relation(struct finder *f, const PgQuery__RangeVar *var)
{
	bool temp =
		var->relpersistence[0] == 't' || (f->creates && is_temp_schema(span_str(var->schemaname)));

	f->out->names_tables = true;
	if (temp)
		f->out->effects |= EFFECT_TEMP;
}

static void see_change(struct finder *f)
{
	f->modifies = true;
	f->out->effects |= EFFECT_WRITES;
}

/* By itself, or in EXPLAIN or CREATE TABLE AS. */
static void see_execute(struct finder *f, const PgQuery__ExecuteStmt *stmt)
{
	f->out->effects |= EFFECT_PREPARED | EFFECT_WRITES | EFFECT_TAINT;
	f->out->prepared = arena_str(f->settings.mem, span_str(stmt->name));
	f->settings.failed |= f->out->prepared == NULL;
}

static enum tree_step see(const ProtobufCMessage *msg, void *arg)
{
	struct finder *f = arg;
	const void *m = msg;

	if (tree_is(msg, a__const))
		return TREE_SKIP; /* its text is no name */
	if (tree_is(msg, func_call))
		see_function(f, m);
	else if (tree_is(msg, a__expr))
		see_operator(f, ((const PgQuery__AExpr *)m)->name, ((const PgQuery__AExpr *)m)->n_name);
	else if (tree_is(msg, sub_link))
		see_operator(f, ((const PgQuery__SubLink *)m)->oper_name,
			     ((const PgQuery__SubLink *)m)->n_oper_name);
	else if (tree_is(msg, sort_by))
		see_operator(f, ((const PgQuery__SortBy *)m)->use_op, ((const PgQuery__SortBy *)m)->n_use_op);
	else if (tree_is(msg, column_ref)) {
		const PgQuery__ColumnRef *ref = m;

		if (ref->n_fields > 1)
			see_field(f, tree_string(ref->fields[ref->n_fields - 1]), false);
	} else if (tree_is(msg, a__indirection))
		see_indirection(f, m);
	else if (tree_is(msg, type_name))
		see_type(f, m);
	else if (tree_is(msg, range_table_sample))
		see_sample(f, m);
	else if (tree_is(msg, range_var))
		see_relation(f, m);
	else if (tree_is(msg, string)) {
		if (f->creates && is_temp_schema(span_str(((const PgQuery__String *)m)->sval)))
			f->out->effects |= EFFECT_TEMP;
	} else if (tree_is(msg, into_clause)) {
		f->into = true;
		f->out->effects |= EFFECT_WRITES | EFFECT_DDL;
	} else if (tree_is(msg, locking_clause))
		f->out->effects |= EFFECT_LOCKS;
	else if (tree_is(msg, execute_stmt))
		see_execute(f, m);
	else if (tree_is(msg, insert_stmt) || tree_is(msg, update_stmt) || tree_is(msg, delete_stmt) ||
		 tree_is(msg, merge_stmt))
		see_change(f);
	return TREE_ON;
}

/* ---- statements ---- */

/* Kinds that need no look inside beyond the visitor's. */
static const struct kind {
	PgQuery__Node__NodeCase node_case;
	enum command command;
	uint32_t effects;
} kinds[] = {
#define KIND(name, command, effects) {PG_QUERY__NODE__NODE_##name##_STMT, COMMAND_##command, effects},
#define DDL(name) KIND(name, DDL, EFFECT_DDL | EFFECT_WRITES)
#define ALONE(name) KIND(name, VACUUM, EFFECT_DDL | EFFECT_WRITES | EFFECT_NO_BLOCK)
#include "proxy/sql/kinds.def"
#undef KIND
#undef DDL
#undef ALONE
};

static const struct kind *kind_of(PgQuery__Node__NodeCase node_case)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (kinds[i].node_case == node_case)
			return &kinds[i];
	return NULL;
}

/* Is a boolean option there and not switched off? The last of several wins in PostgreSQL; here any does. */
static bool option_on(PgQuery__Node *const *options, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++) {
		const PgQuery__DefElem *elem;
		const char *text;

		if (options[i]->node_case != PG_QUERY__NODE__NODE_DEF_ELEM)
			return true;
		elem = options[i]->def_elem;
		if (strcmp(elem->defname, name) != 0)
			continue;
		text = elem->arg != NULL && elem->arg->node_case == PG_QUERY__NODE__NODE_STRING
			       ? elem->arg->string->sval
			       : "";
		if (strcasecmp(text, "false") != 0 && strcasecmp(text, "off") != 0)
			return true;
	}
	return false;
}

static int name_it(struct arena *mem, struct stmt_facts *out, const char *name)
{
	if (name[0] == '\0')
		return 0; /* NULL means all */
	out->name = arena_str(mem, span_str(name));
	return out->name == NULL ? -1 : 0;
}

static int name_statement(struct arena *mem, struct stmt_facts *out, const char *name)
{
	int rc = name_it(mem, out, name);

	out->prepared = out->name;
	return rc;
}

static int transaction(const PgQuery__TransactionStmt *stmt, struct arena *mem, struct stmt_facts *out)
{
	out->effects |= setting_txn_modes(stmt->options, stmt->n_options);
	out->command = COMMAND_TXN;
	switch (stmt->kind) {
	case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_BEGIN:
	case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_START:
		out->command = COMMAND_BEGIN;
		out->tag = stmt->kind == PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_BEGIN
				   ? "BEGIN"
				   : "START TRANSACTION";
		break;
	case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_COMMIT:
		out->command = stmt->chain ? COMMAND_TXN : COMMAND_COMMIT;
		out->tag = "COMMIT";
		break;
	case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_ROLLBACK:
		out->command = stmt->chain ? COMMAND_TXN : COMMAND_ROLLBACK;
		out->tag = "ROLLBACK";
		break;
	case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_SAVEPOINT:
		out->tag = "SAVEPOINT";
		return name_it(mem, out, stmt->savepoint_name);
	case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_RELEASE:
		out->tag = "RELEASE";
		return name_it(mem, out, stmt->savepoint_name);
	case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_ROLLBACK_TO:
		out->tag = "ROLLBACK";
		return name_it(mem, out, stmt->savepoint_name);
	case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_PREPARE: out->effects |= EFFECT_WRITES; break;
	default: out->effects |= EFFECT_WRITES | EFFECT_NO_BLOCK; break;
	}
	return 0;
}

static void copy(const PgQuery__CopyStmt *stmt, struct stmt_facts *out)
{
	if (stmt->is_from || stmt->is_program || stmt->filename[0] != '\0')
		out->effects |= EFFECT_WRITES;
}

static void discard(const PgQuery__DiscardStmt *stmt, struct stmt_facts *out)
{
	switch (stmt->target) {
	case PG_QUERY__DISCARD_MODE__DISCARD_PLANS: out->name = "plans"; break;
	case PG_QUERY__DISCARD_MODE__DISCARD_SEQUENCES: out->name = "sequences"; break;
	case PG_QUERY__DISCARD_MODE__DISCARD_TEMP: out->name = "temp"; break;
	default:
		out->name = "all";
		out->effects |= EFFECT_RESET_ALL | EFFECT_NO_BLOCK;
		break;
	}
}

/* The database whose files are copied. */
static const char *template_of(const PgQuery__CreatedbStmt *stmt)
{
	const char *name = "template1";

	for (size_t i = 0; i < stmt->n_options; i++) {
		const PgQuery__DefElem *elem = stmt->options[i]->node_case == PG_QUERY__NODE__NODE_DEF_ELEM
						       ? stmt->options[i]->def_elem
						       : NULL;

		if (elem != NULL && strcmp(elem->defname, "template") == 0 && elem->arg != NULL &&
		    elem->arg->node_case == PG_QUERY__NODE__NODE_STRING)
			name = elem->arg->string->sval;
	}
	return name;
}

/* ALTER DATABASE .. SET TABLESPACE, and not CONNECTION LIMIT and its kin. */
static bool moves(const PgQuery__AlterDatabaseStmt *stmt)
{
	return stmt->n_options == 1 && stmt->options[0]->node_case == PG_QUERY__NODE__NODE_DEF_ELEM &&
	       strcmp(stmt->options[0]->def_elem->defname, "tablespace") == 0;
}

static int vacates(struct arena *mem, struct stmt_facts *out, const char *database)
{
	out->effects |= EFFECT_VACATES;
	return name_it(mem, out, database);
}

/* Statements that wait for all others to leave a database, and fail when they stay. */
static int of_database(const PgQuery__Node *stmt, struct arena *mem, struct stmt_facts *out)
{
	switch (stmt->node_case) {
	case PG_QUERY__NODE__NODE_DROPDB_STMT: return vacates(mem, out, stmt->dropdb_stmt->dbname);
	case PG_QUERY__NODE__NODE_CREATEDB_STMT: return vacates(mem, out, template_of(stmt->createdb_stmt));
	case PG_QUERY__NODE__NODE_ALTER_DATABASE_STMT:
		return moves(stmt->alter_database_stmt) ? vacates(mem, out, stmt->alter_database_stmt->dbname)
							: 0;
	case PG_QUERY__NODE__NODE_RENAME_STMT:
		return stmt->rename_stmt->rename_type == PG_QUERY__OBJECT_TYPE__OBJECT_DATABASE
			       ? vacates(mem, out, stmt->rename_stmt->subname)
			       : 0;
	default: return 0;
	}
}

#define CURSOR_OPTION_HOLD 0x0020 /* parsenodes.h */

static bool detaches_alone(const PgQuery__AlterTableStmt *stmt)
{
	for (size_t i = 0; i < stmt->n_cmds; i++) {
		const PgQuery__Node *def = stmt->cmds[i]->node_case == PG_QUERY__NODE__NODE_ALTER_TABLE_CMD
						   ? stmt->cmds[i]->alter_table_cmd->def
						   : NULL;

		if (def != NULL && def->node_case == PG_QUERY__NODE__NODE_PARTITION_CMD &&
		    def->partition_cmd->concurrent)
			return true;
	}
	return false;
}

/* DDL that refuses a transaction block in some of its forms. */
static bool runs_alone(const PgQuery__Node *stmt)
{
	switch (stmt->node_case) {
	case PG_QUERY__NODE__NODE_INDEX_STMT: return stmt->index_stmt->concurrent;
	case PG_QUERY__NODE__NODE_DROP_STMT: return stmt->drop_stmt->concurrent;
	case PG_QUERY__NODE__NODE_CLUSTER_STMT: return stmt->cluster_stmt->relation == NULL;
	case PG_QUERY__NODE__NODE_VACUUM_STMT: return stmt->vacuum_stmt->is_vacuumcmd;
	case PG_QUERY__NODE__NODE_ALTER_DATABASE_STMT: return true; /* SET TABLESPACE does */
	case PG_QUERY__NODE__NODE_ALTER_TABLE_STMT: return detaches_alone(stmt->alter_table_stmt);
	case PG_QUERY__NODE__NODE_REINDEX_STMT:
		return option_on(stmt->reindex_stmt->params, stmt->reindex_stmt->n_params, "concurrently") ||
		       (stmt->reindex_stmt->kind != PG_QUERY__REINDEX_OBJECT_TYPE__REINDEX_OBJECT_INDEX &&
			stmt->reindex_stmt->kind != PG_QUERY__REINDEX_OBJECT_TYPE__REINDEX_OBJECT_TABLE);
	default: return false;
	}
}

static int explain(const PgQuery__ExplainStmt *stmt, struct arena *mem, struct stmt_facts *out)
{
	bool runs = option_on(stmt->options, stmt->n_options, "analyze");

	if (stmt->query == NULL || effect_of(stmt->query, mem, out) != 0)
		return -1;
	/* What it would set is set only if it runs, and then by something else than a plain SELECT. */
	if ((out->effects & EFFECT_SETTING) != 0)
		out->effects |= EFFECT_TAINT;
	out->name = NULL;
	out->tag = NULL;
	if (!runs)
		out->command = COMMAND_EXPLAIN;
	else if (out->command != COMMAND_DML)
		out->command = COMMAND_OTHER;
	return 0;
}

static bool keeps_nothing(const char *language)
{
	static const char *const known[] = {"plpgsql", "sql", "c", "internal"};

	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (strcasecmp(language, known[i]) == 0)
			return true;
	return false;
}

/* DO and CREATE FUNCTION, which has it compiled, in a language that has variables of the session's (keepers.h). */
static uint32_t in_language(PgQuery__Node *const *options, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const PgQuery__DefElem *elem =
			options[i]->node_case == PG_QUERY__NODE__NODE_DEF_ELEM ? options[i]->def_elem : NULL;

		if (elem == NULL || strcmp(elem->defname, "language") != 0 || elem->arg == NULL ||
		    elem->arg->node_case != PG_QUERY__NODE__NODE_STRING)
			continue;
		if (!keeps_nothing(elem->arg->string->sval))
			return EFFECT_PROCESS;
	}
	return 0;
}

/* What the statement's own kind says; -1 when memory is gone. */
static int by_kind(const PgQuery__Node *stmt, struct arena *mem, struct finder *f)
{
	struct stmt_facts *out = f->out;

	switch (stmt->node_case) {
	case PG_QUERY__NODE__NODE_TRANSACTION_STMT: return transaction(stmt->transaction_stmt, mem, out);
	case PG_QUERY__NODE__NODE_VARIABLE_SHOW_STMT:
		return name_it(mem, out, stmt->variable_show_stmt->name);
	case PG_QUERY__NODE__NODE_VARIABLE_SET_STMT:
		setting_stmt(&f->settings, stmt->variable_set_stmt, out);
		return 0;
	case PG_QUERY__NODE__NODE_PREPARE_STMT: return name_statement(mem, out, stmt->prepare_stmt->name);
	case PG_QUERY__NODE__NODE_EXECUTE_STMT: return name_it(mem, out, stmt->execute_stmt->name);
	case PG_QUERY__NODE__NODE_DEALLOCATE_STMT:
		return name_statement(mem, out, stmt->deallocate_stmt->name);
	case PG_QUERY__NODE__NODE_DISCARD_STMT: discard(stmt->discard_stmt, out); return 0;
	case PG_QUERY__NODE__NODE_LISTEN_STMT: return name_it(mem, out, stmt->listen_stmt->conditionname);
	case PG_QUERY__NODE__NODE_UNLISTEN_STMT: return name_it(mem, out, stmt->unlisten_stmt->conditionname);
	case PG_QUERY__NODE__NODE_NOTIFY_STMT: return name_it(mem, out, stmt->notify_stmt->conditionname);
	case PG_QUERY__NODE__NODE_COPY_STMT: copy(stmt->copy_stmt, out); return 0;
	case PG_QUERY__NODE__NODE_DECLARE_CURSOR_STMT:
		if ((stmt->declare_cursor_stmt->options & CURSOR_OPTION_HOLD) != 0)
			out->effects |= EFFECT_HOLD_CURSOR;
		return name_it(mem, out, stmt->declare_cursor_stmt->portalname);
	case PG_QUERY__NODE__NODE_FETCH_STMT: return name_it(mem, out, stmt->fetch_stmt->portalname);
	case PG_QUERY__NODE__NODE_CLOSE_PORTAL_STMT:
		return name_it(mem, out, stmt->close_portal_stmt->portalname);
	case PG_QUERY__NODE__NODE_DO_STMT:
		out->effects |= in_language(stmt->do_stmt->args, stmt->do_stmt->n_args);
		return 0;
	case PG_QUERY__NODE__NODE_CREATE_FUNCTION_STMT:
		out->effects |= in_language(stmt->create_function_stmt->options,
					    stmt->create_function_stmt->n_options);
		return 0;
	default:
		if (runs_alone(stmt)) {
			out->command = COMMAND_VACUUM;
			out->effects |= EFFECT_NO_BLOCK;
		}
		return of_database(stmt, mem, out);
	}
}

static enum tree_step see_other_select(const ProtobufCMessage *msg, void *root)
{
	return tree_is(msg, select_stmt) && msg != root ? TREE_STOP : TREE_ON;
}

static bool locks_shown(const PgQuery__Node *stmt)
{
	const PgQuery__SelectStmt *select;

	if (stmt->node_case != PG_QUERY__NODE__NODE_SELECT_STMT)
		return false;
	select = stmt->select_stmt;
	if (select->n_locking_clause == 0 || select->n_from_clause != 1 ||
	    select->from_clause[0]->node_case != PG_QUERY__NODE__NODE_RANGE_VAR)
		return false;
	for (size_t i = 0; i < select->n_locking_clause; i++) {
		const PgQuery__LockingClause *lock = select->locking_clause[i]->locking_clause;

		if (select->locking_clause[i]->node_case != PG_QUERY__NODE__NODE_LOCKING_CLAUSE ||
		    lock->n_locked_rels > 0 ||
		    (lock->strength != PG_QUERY__LOCK_CLAUSE_STRENGTH__LCS_FORUPDATE &&
		     lock->strength != PG_QUERY__LOCK_CLAUSE_STRENGTH__LCS_FORNOKEYUPDATE))
			return false;
	}
	return tree_walk(&select->base, see_other_select, (void *)(uintptr_t)&select->base);
}

int effect_of(const PgQuery__Node *stmt, struct arena *mem, struct stmt_facts *facts_r)
{
	const struct kind *kind = kind_of(stmt->node_case);
	struct finder f = {.out = facts_r};

	setting_begin(&f.settings, mem);
	*facts_r = (struct stmt_facts){.command = COMMAND_OTHER, .effects = EFFECTS_UNKNOWN};
	if (stmt->node_case == PG_QUERY__NODE__NODE_EXPLAIN_STMT)
		return explain(stmt->explain_stmt, mem, facts_r);
	if (kind != NULL) {
		facts_r->command = kind->command;
		facts_r->effects = kind->effects;
	}
	f.creates = (facts_r->effects & EFFECT_DDL) != 0 && stmt->node_case != PG_QUERY__NODE__NODE_DROP_STMT;
	if (by_kind(stmt, mem, &f) != 0)
		return -1;
	(void)tree_walk(&stmt->base, see, &f);
	facts_r->locks_shown = locks_shown(stmt);
	if (facts_r->command == COMMAND_SELECT && f.into)
		facts_r->command = COMMAND_DDL;
	else if (facts_r->command == COMMAND_SELECT && f.modifies)
		facts_r->command = COMMAND_DML;
	if (facts_r->command != COMMAND_SELECT && facts_r->command != COMMAND_SET && f.settings.count > 0)
		facts_r->effects |= EFFECT_TAINT;
	facts_r->nsettings = f.settings.count;
	facts_r->settings = f.settings.list;
	return f.settings.failed ? -1 : 0;
}
