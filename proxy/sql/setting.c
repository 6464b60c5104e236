#include "proxy/sql/setting.h"

#include <stdio.h>
#include <strings.h>

#define LIST_MAX 1024

void setting_begin(struct settings *s, struct arena *mem)
{
	*s = (struct settings){.mem = mem};
}

/* The text of a constant as SET takes it; NULL when it is none, or memory is gone. */
static const char *value_text(struct settings *s, const PgQuery__Node *value)
{
	const char *text = tree_const_text(value);
	char number[32];

	if (text == NULL && value != NULL && value->node_case == PG_QUERY__NODE__NODE_A_CONST) {
		const PgQuery__AConst *c = value->a_const;

		if (c->val_case == PG_QUERY__A__CONST__VAL_IVAL) {
			snprintf(number, sizeof(number), "%d", c->ival->ival);
			text = number;
		} else if (c->val_case == PG_QUERY__A__CONST__VAL_FVAL) {
			text = c->fval->fval;
		}
	}
	return text == NULL ? NULL : arena_str(s->mem, span_str(text));
}

static bool push(struct settings *s, enum setting_action action, char *name, const char *value)
{
	if (s->count == s->room) {
		uint16_t room = s->room == 0 ? 2 : (uint16_t)(s->room * 2);
		struct setting_change *list;

		list = arena_grow(s->mem, s->list, s->count * sizeof(*list), room * sizeof(*list));
		if (list == NULL)
			return false;
		s->list = list;
		s->room = room;
	}
	s->list[s->count++] = (struct setting_change){.action = action, .name = name, .value = value};
	return true;
}

/* Old names that the server still takes. */
static const char *modern(const char *name)
{
	if (strcmp(name, "sort_mem") == 0)
		return "work_mem";
	return strcmp(name, "vacuum_mem") == 0 ? "maintenance_work_mem" : name;
}

/* With pg_temp in front, CREATE TABLE makes temporary tables without saying so. */
static bool temp_first(const PgQuery__Node *value)
{
	const char *text = tree_const_text(value);

	if (text == NULL)
		return false;
	while (*text == ' ' || *text == '"' || *text == '\t' || *text == '\n')
		text++;
	return strncasecmp(text, "pg_temp", 7) == 0;
}

/* The server shows a custom one as it was first written. */
static bool keeps_case(const char *name)
{
	return strchr(name, '.') != NULL && strncasecmp(name, "pgweir.", 7) != 0;
}

static void lower(char *name)
{
	for (char *c = name; *c != '\0'; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c - 'A' + 'a');
}

uint32_t setting_add(struct settings *s, enum setting_action action, const char *name,
		     const PgQuery__Node *value)
{
	uint32_t effects = EFFECT_SETTING;
	char *copy = arena_str(s->mem, span_str(name));

	if (copy == NULL || s->count >= LIST_MAX) {
		s->failed = s->failed || copy == NULL;
		return EFFECT_SETTING | EFFECT_TAINT;
	}
	if (!keeps_case(copy))
		lower(copy);
	name = modern(copy);
	if (name != copy && (copy = arena_str(s->mem, span_str(name))) == NULL)
		s->failed = true;
	else if (!push(s, action, copy, value_text(s, value)))
		s->failed = true;
	if (strcmp(name, "role") == 0 || strcmp(name, "session_authorization") == 0)
		effects |= EFFECT_ROLE;
	/* SET SESSION AUTHORIZATION undoes SET ROLE. */
	if (strcmp(name, "session_authorization") == 0)
		(void)setting_add(s, action, "role", NULL);
	if (strcmp(name, "search_path") == 0 && temp_first(value))
		effects |= EFFECT_TEMP | EFFECT_TAINT;
	if (strcmp(name, "transaction_isolation") == 0 || strcmp(name, "transaction_deferrable") == 0)
		effects |= EFFECT_TXN_SNAPSHOT | EFFECT_TXN_MODE;
	if (strcmp(name, "transaction_read_only") == 0)
		effects |= EFFECT_TXN_MODE;
	return effects;
}

static uint32_t mode_effects(const char *name, const PgQuery__Node *value)
{
	const char *text = tree_const_text(value);

	if (strcmp(name, "transaction_isolation") == 0 && text != NULL &&
	    (strcasecmp(text, "read committed") == 0 || strcasecmp(text, "read uncommitted") == 0))
		return EFFECT_TXN_MODE;
	if (strcmp(name, "transaction_deferrable") == 0 && value != NULL &&
	    value->node_case == PG_QUERY__NODE__NODE_A_CONST &&
	    value->a_const->val_case == PG_QUERY__A__CONST__VAL_IVAL && value->a_const->ival->ival == 0)
		return EFFECT_TXN_MODE;
	return strcmp(name, "transaction_read_only") == 0 ? EFFECT_TXN_MODE
							  : EFFECT_TXN_MODE | EFFECT_TXN_SNAPSHOT;
}

uint32_t setting_txn_modes(PgQuery__Node *const *options, size_t n)
{
	uint32_t effects = 0;

	for (size_t i = 0; i < n; i++)
		effects |= options[i]->node_case == PG_QUERY__NODE__NODE_DEF_ELEM
				   ? mode_effects(options[i]->def_elem->defname, options[i]->def_elem->arg)
				   : EFFECT_TXN_MODE | EFFECT_TXN_SNAPSHOT;
	return effects;
}

/* SET SESSION CHARACTERISTICS AS TRANSACTION: the defaults of later transactions. */
static void characteristics(struct settings *s, const PgQuery__VariableSetStmt *stmt, struct stmt_facts *out)
{
	for (size_t i = 0; i < stmt->n_args; i++) {
		char name[64] = "default_";

		if (stmt->args[i]->node_case != PG_QUERY__NODE__NODE_DEF_ELEM)
			continue;
		strncat(name, stmt->args[i]->def_elem->defname, sizeof(name) - strlen(name) - 1);
		out->effects |= setting_add(s, SETTING_SET, name, NULL);
	}
}

static void set_multi(struct settings *s, const PgQuery__VariableSetStmt *stmt, struct stmt_facts *out)
{
	if (strcmp(stmt->name, "SESSION CHARACTERISTICS") == 0) {
		characteristics(s, stmt, out);
		return;
	}
	out->command = COMMAND_SET_TXN;
	if (strcmp(stmt->name, "TRANSACTION") == 0)
		out->effects |= setting_txn_modes(stmt->args, stmt->n_args);
	else
		out->effects |= EFFECT_TXN_MODE | EFFECT_TXN_SNAPSHOT;
}

static bool is_txn_setting(const char *name)
{
	return strcasecmp(name, "transaction_isolation") == 0 ||
	       strcasecmp(name, "transaction_read_only") == 0 ||
	       strcasecmp(name, "transaction_deferrable") == 0;
}

void setting_stmt(struct settings *s, const PgQuery__VariableSetStmt *stmt, struct stmt_facts *out)
{
	const PgQuery__Node *value = stmt->n_args > 0 ? stmt->args[0] : NULL;
	enum setting_action action = stmt->is_local ? SETTING_SET_LOCAL : SETTING_SET;

	switch (stmt->kind) {
	case PG_QUERY__VARIABLE_SET_KIND__VAR_SET_MULTI: set_multi(s, stmt, out); return;
	case PG_QUERY__VARIABLE_SET_KIND__VAR_RESET_ALL: out->effects |= EFFECT_RESET_ALL; return;
	case PG_QUERY__VARIABLE_SET_KIND__VAR_SET_VALUE:
	case PG_QUERY__VARIABLE_SET_KIND__VAR_SET_CURRENT: break;
	default: action = stmt->is_local ? SETTING_RESET_LOCAL : SETTING_RESET; break;
	}
	if (is_txn_setting(stmt->name)) {
		out->command = COMMAND_SET_TXN;
		out->effects |= value == NULL ? EFFECT_TXN_MODE | EFFECT_TXN_SNAPSHOT
					      : mode_effects(stmt->name, value);
		return;
	}
	out->effects |= setting_add(s, action, stmt->name, value);
	if (stmt->n_args > 1 && s->count > 0)
		s->list[s->count - 1].value = NULL; /* a list */
}
