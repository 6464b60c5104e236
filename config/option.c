#include "config/option.h"

#include "config/units.h"
#include "proxy/base/check.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

#define NOWHERE SIZE_MAX

/* SCOPE_x are the scope columns, WORDS_x and KIND_x come from the type column. */
#define SCOPE_G CONFIG_GLOBAL
#define SCOPE_D CONFIG_DATABASE
#define SCOPE_U CONFIG_USER
#define SCOPE_GD (CONFIG_GLOBAL | CONFIG_DATABASE)
#define SCOPE_GU (CONFIG_GLOBAL | CONFIG_USER)
#define SCOPE_GDU (CONFIG_GLOBAL | CONFIG_DATABASE | CONFIG_USER)

#define KIND_STRING CONFIG_STRING
#define KIND_SECRET CONFIG_SECRET
#define KIND_INT CONFIG_INT
#define KIND_MODE CONFIG_MODE
#define KIND_SIZE CONFIG_SIZE
#define KIND_DURATION CONFIG_DURATION
#define KIND_BOOL CONFIG_BOOL
#define KIND_ENUM(x) CONFIG_ENUM

#define WORDS_STRING NULL
#define WORDS_SECRET NULL
#define WORDS_INT NULL
#define WORDS_MODE NULL
#define WORDS_SIZE NULL
#define WORDS_DURATION NULL
#define WORDS_BOOL NULL
#define WORDS_ENUM(x) words_##x

#define WORD(id, word) word,
static const char *const words_auth_type[] = {CONFIG_VALUES_auth_type(WORD) NULL};
static const char *const words_pool_mode[] = {CONFIG_VALUES_pool_mode(WORD) NULL};
static const char *const words_sslmode[] = {CONFIG_VALUES_sslmode(WORD) NULL};
static const char *const words_host_order[] = {CONFIG_VALUES_host_order(WORD) NULL};
static const char *const words_server_role[] = {CONFIG_VALUES_server_role(WORD) NULL};
static const char *const words_coherence[] = {CONFIG_VALUES_coherence(WORD) NULL};
static const char *const words_feed_plugin[] = {CONFIG_VALUES_feed_plugin(WORD) NULL};
static const char *const words_log_level[] = {CONFIG_VALUES_log_level(WORD) NULL};
static const char *const words_log_format[] = {CONFIG_VALUES_log_format(WORD) NULL};

static const struct config_option rows[OPTION_COUNT] = {
#define OPT(type, name, def, min, max, scope, life, help)                        \
	[OPTION_##name] = {#name,	  KIND_##type,	 def,  min,	    max, \
			   SCOPE_##scope, CONFIG_##life, help, WORDS_##type},
#include "config/options.def"
};

static const struct alias {
	const char *name;
	enum config_option_id id;
	enum config_scope scope;
	bool only; /* the row's own name is not valid there */
} aliases[] = {
#define ALIAS(other, name, scope) {#other, OPTION_##name, SCOPE_##scope, false},
#define RENAME(other, name, scope) {#other, OPTION_##name, SCOPE_##scope, true},
#include "config/options.def"
};

#define ALIAS_COUNT (sizeof aliases / sizeof *aliases)

#define IN_CONFIG_G(name) offsetof(struct config, name)
#define IN_CONFIG_D(name) NOWHERE
#define IN_CONFIG_GD(name) offsetof(struct config, name)
#define IN_CONFIG_GU(name) offsetof(struct config, name)
#define IN_CONFIG_GDU(name) offsetof(struct config, name)
#define IN_POLICY_G(name) NOWHERE
#define IN_POLICY_D(name) NOWHERE
#define IN_POLICY_GD(name) offsetof(struct policy, name)
#define IN_POLICY_GU(name) offsetof(struct policy, name)
#define IN_POLICY_GDU(name) offsetof(struct policy, name)
#define IN_DATABASE_G(name) NOWHERE
#define IN_DATABASE_D(name) offsetof(struct config_database, name)
#define IN_DATABASE_GD(name) NOWHERE
#define IN_DATABASE_GU(name) NOWHERE
#define IN_DATABASE_GDU(name) NOWHERE

static const struct place {
	size_t config;
	size_t policy;
	size_t database;
} places[OPTION_COUNT] = {
#define OPT(type, name, def, min, max, scope, life, help) \
	[OPTION_##name] = {IN_CONFIG_##scope(name), IN_POLICY_##scope(name), IN_DATABASE_##scope(name)},
#include "config/options.def"
};

static void *field_at(const void *base, size_t offset)
{
	return offset == NOWHERE ? NULL : (char *)(uintptr_t)base + offset;
}

void *option_in_config(const struct config *cfg, enum config_option_id id)
{
	return field_at(cfg, places[id].config);
}

void *option_in_policy(const struct policy *policy, enum config_option_id id)
{
	return field_at(policy, places[id].policy);
}

void *option_in_database(const struct config_database *db, enum config_option_id id)
{
	return field_at(db, places[id].database);
}

const struct config_option *config_options(unsigned *n_r)
{
	*n_r = OPTION_COUNT;
	return rows;
}

enum config_option_id option_id(const struct config_option *option)
{
	check(option >= rows && option < rows + OPTION_COUNT);
	return (enum config_option_id)(option - rows);
}

static bool renamed(enum config_option_id id, enum config_scope scope)
{
	for (size_t i = 0; i < ALIAS_COUNT; i++)
		if (aliases[i].id == id && aliases[i].scope == scope && aliases[i].only)
			return true;
	return false;
}

const struct config_option *config_option(const char *name, enum config_scope scope)
{
	for (size_t i = 0; i < ALIAS_COUNT; i++)
		if (aliases[i].scope == scope && strcmp(aliases[i].name, name) == 0)
			return &rows[aliases[i].id];
	for (unsigned i = 0; i < OPTION_COUNT; i++)
		if (rows[i].scope & scope && strcmp(rows[i].name, name) == 0 && !renamed(i, scope))
			return &rows[i];
	return NULL;
}

const char *const *option_names(struct text_pool *pool, enum config_scope scope)
{
	const char **names = text_alloc(pool, (OPTION_COUNT + ALIAS_COUNT + 1) * sizeof *names);
	size_t n = 0;

	for (size_t i = 0; i < ALIAS_COUNT; i++)
		if (aliases[i].scope == scope)
			names[n++] = aliases[i].name;
	for (unsigned i = 0; i < OPTION_COUNT; i++)
		if (rows[i].scope & scope && !renamed(i, scope))
			names[n++] = rows[i].name;
	return names;
}

static int set_number(const struct config_option *o, const char *text, int *field, struct err *err)
{
	int (*parse)(const char *, int64_t *, const char **) =
		o->kind == CONFIG_MODE ? units_mode : units_int;
	int64_t v, min, max;
	const char *why;

	check(parse(o->min, &min, &why) == 0 && parse(o->max, &max, &why) == 0);
	if (parse(text, &v, &why) != 0)
		return err_set(err, "%s %s, not \"%s\"", o->name, why, text);
	if (v < min || v > max)
		return err_set(err, "%s must be %s to %s, not %s", o->name, o->min, o->max, text);
	*field = (int)v;
	return 0;
}

static int set_quantity(const struct config_option *o, const char *text, uint64_t *field, struct err *err)
{
	int (*parse)(const char *, uint64_t *, const char **) =
		o->kind == CONFIG_SIZE ? units_size : units_duration;
	uint64_t v, min, max;
	const char *why;

	check(parse(o->min, &min, &why) == 0 && parse(o->max, &max, &why) == 0);
	if (parse(text, &v, &why) != 0)
		return err_set(err, "%s %s, not \"%s\"", o->name, why, text);
	if (v < min || v > max)
		return err_set(err, "%s must be %s to %s, not %s", o->name, o->min, o->max, text);
	*field = v;
	return 0;
}

static int set_word(struct text_pool *pool, const struct config_option *o, const char *text, void *field,
		    struct err *err)
{
	const char *nearest;
	char *list = text_dup_str(pool, o->words[0]);

	for (unsigned i = 0; o->words[i] != NULL; i++) {
		if (strcasecmp(o->words[i], text) == 0) {
			*(unsigned *)field = i; /* every enum of values.h is an unsigned int */
			return 0;
		}
		if (i > 0)
			list = text_printf(pool, "%s, %s", list, o->words[i]);
	}
	nearest = text_nearest(text, o->words);
	if (nearest != NULL)
		return err_set(err, "%s cannot be \"%s\", did you mean \"%s\"? (%s)", o->name, text, nearest,
			       list);
	return err_set(err, "%s cannot be \"%s\"; it is one of %s", o->name, text, list);
}

int option_set(struct text_pool *pool, const struct config_option *o, const char *text, void *field,
	       struct err *err)
{
	const char *why;

	switch (o->kind) {
	case CONFIG_STRING:
	case CONFIG_SECRET: *(const char **)field = text_dup_str(pool, text); return 0;
	case CONFIG_INT:
	case CONFIG_MODE: return set_number(o, text, field, err);
	case CONFIG_SIZE:
	case CONFIG_DURATION: return set_quantity(o, text, field, err);
	case CONFIG_ENUM: return set_word(pool, o, text, field, err);
	case CONFIG_BOOL:
		if (units_bool(text, field, &why) != 0)
			return err_set(err, "%s %s, not \"%s\"", o->name, why, text);
		return 0;
	}
	check(!"kind of option");
	return -1;
}

static size_t field_size(const struct config_option *o)
{
	switch (o->kind) {
	case CONFIG_STRING:
	case CONFIG_SECRET: return sizeof(const char *);
	case CONFIG_INT:
	case CONFIG_MODE: return sizeof(int);
	case CONFIG_SIZE:
	case CONFIG_DURATION: return sizeof(uint64_t);
	case CONFIG_BOOL: return sizeof(bool);
	case CONFIG_ENUM: return sizeof(unsigned);
	}
	check(!"kind of option");
	return 0;
}

void option_copy(const struct config_option *o, void *to, const void *from)
{
	memcpy(to, from, field_size(o));
}

bool option_equal(const struct config_option *o, const void *a, const void *b)
{
	if (o->kind == CONFIG_STRING || o->kind == CONFIG_SECRET)
		return strcmp(*(const char *const *)a, *(const char *const *)b) == 0;
	return memcmp(a, b, field_size(o)) == 0;
}

char *option_text(struct text_pool *pool, const struct config_option *o, const void *field)
{
	char number[32];

	switch (o->kind) {
	case CONFIG_STRING:
	case CONFIG_SECRET: return text_dup_str(pool, *(const char *const *)field);
	case CONFIG_INT: return text_printf(pool, "%d", *(const int *)field);
	case CONFIG_MODE: return text_printf(pool, "%04o", (unsigned)*(const int *)field);
	case CONFIG_SIZE: return text_printf(pool, "%llu", (unsigned long long)*(const uint64_t *)field);
	case CONFIG_DURATION:
		units_duration_text(*(const uint64_t *)field, number, sizeof number);
		return text_dup_str(pool, number);
	case CONFIG_BOOL: return text_dup_str(pool, *(const bool *)field ? "1" : "0");
	case CONFIG_ENUM: return text_dup_str(pool, o->words[*(const unsigned *)field]);
	}
	check(!"kind of option");
	return NULL;
}

void config_option_text(const struct config *cfg, const struct config_option *option, char *out, size_t n)
{
	const void *field = option_in_config(cfg, option_id(option));
	struct text_pool *pool = text_pool_new();
	const char *s = field == NULL ? "" : option_text(pool, option, field);
	size_t len;

	if (option->kind == CONFIG_SECRET && *s != '\0')
		s = "***";
	len = strlen(s);
	if (n > 0) {
		if (len > n - 1)
			len = n - 1;
		memcpy(out, s, len);
		out[len] = '\0';
	}
	text_pool_free(&pool);
}
