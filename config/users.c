#include "config/users.h"

#include "config/text.h"
#include "proxy/base/map.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

struct node {
	UT_hash_handle hh;
	struct users_entry entry;
};

struct users {
	atomic_uint refs;
	struct text_pool *pool; /* owned; holds the nodes too */
	struct node *by_name;
	const struct users_entry **list; /* in the order of by_name */
};

static struct users *users_new(void)
{
	struct users *users = check_alloc(sizeof *users);

	atomic_init(&users->refs, 1);
	users->pool = text_pool_new();
	return users;
}

struct users *users_ref(struct users *users)
{
	check(atomic_fetch_add_explicit(&users->refs, 1, memory_order_relaxed) > 0);
	return users;
}

void users_unref(struct users *users)
{
	if (users == NULL || atomic_fetch_sub_explicit(&users->refs, 1, memory_order_acq_rel) != 1)
		return;
	HASH_CLEAR(hh, users->by_name);
	text_pool_free(&users->pool);
	free(users);
}

enum users_kind users_kind_of(const char *secret)
{
	if (strncmp(secret, "SCRAM-SHA-256$", 14) == 0)
		return USERS_SCRAM;
	if (strlen(secret) == 35 && strncmp(secret, "md5", 3) == 0 &&
	    strspn(secret + 3, "0123456789abcdef") == 32)
		return USERS_MD5;
	return USERS_PLAIN;
}

/* Takes over the strings, which live in the pool. */
static void add(struct users *users, const char *name, const char *secret)
{
	struct node *node;

	HASH_FIND_STR(users->by_name, name, node);
	if (node == NULL) {
		node = text_alloc(users->pool, sizeof *node);
		node->entry.name = name;
		HASH_ADD_KEYPTR(hh, users->by_name, node->entry.name, strlen(name), node);
	}
	node->entry.secret = secret;
	node->entry.kind = users_kind_of(secret);
}

/* at is on the opening quote; afterwards behind the closing one. NULL when there is no closing one in this
 * line. */
static char *quoted(struct text_pool *pool, const char **at, const char *end)
{
	const char *s = *at + 1;
	char *out = text_alloc(pool, (size_t)(end - s) + 1), *to = out;

	for (; s < end; s++) {
		if (*s == '"') {
			if (s + 1 == end || s[1] != '"') {
				*at = s + 1;
				return out;
			}
			s++;
		}
		*to++ = *s;
	}
	return NULL;
}

static const char *skip_blank(const char *s, const char *end)
{
	while (s < end && (*s == ' ' || *s == '\t' || *s == '\r'))
		s++;
	return s;
}

/* NULL, or what is wrong with the line. */
static const char *parse_line(struct users *users, const char *s, const char *end)
{
	char *name, *secret;

	s = skip_blank(s, end);
	if (s == end || *s == ';' || *s == '#')
		return NULL;
	if (*s != '"')
		return "expected \"user\" \"secret\" in double quotes";
	name = quoted(users->pool, &s, end);
	if (name == NULL)
		return "the quotes around the user's name do not end";
	if (*name == '\0')
		return "the user's name is empty";
	s = skip_blank(s, end);
	if (s == end || *s != '"')
		return "expected the secret in double quotes after the user's name";
	secret = quoted(users->pool, &s, end);
	if (secret == NULL)
		return "the quotes around the secret do not end";
	add(users, name, secret);
	return NULL;
}

/* After the last add(). */
static void seal(struct users *users)
{
	size_t i = 0;

	users->list = text_alloc(users->pool, (HASH_COUNT(users->by_name) + 1) * sizeof *users->list);
	for (struct node *node = users->by_name; node != NULL; node = node->hh.next)
		users->list[i++] = &node->entry;
}

int users_parse(const char *text, size_t n, const char *file, struct users **users_r, struct err *err)
{
	struct users *users;
	const char *at = text, *end = text + n, *eol, *why;
	int line;

	if (text_bad_byte(text, n, &line) != n)
		return err_set(err, "%s:%d: control character in the text", file, line);
	users = users_new();
	for (line = 1; at < end; at = eol < end ? eol + 1 : end, line++) {
		eol = memchr(at, '\n', (size_t)(end - at));
		if (eol == NULL)
			eol = end;
		why = parse_line(users, at, eol);
		if (why != NULL) {
			users_unref(users);
			return err_set(err, "%s:%d: %s", file, line, why);
		}
	}
	seal(users);
	*users_r = users;
	return 0;
}

int users_load(const char *path, struct users **users_r, struct err *err)
{
	struct text_pool *pool = text_pool_new();
	char *text;
	size_t n;
	int rc = -1;

	if (text_read(pool, path, &text, &n, err) == 0)
		rc = users_parse(text, n, path, users_r, err);
	text_pool_free(&pool);
	return rc;
}

struct users *users_single(const char *name, const char *secret)
{
	struct users *users = users_new();

	add(users, text_dup_str(users->pool, name), text_dup_str(users->pool, secret));
	seal(users);
	return users;
}

const struct users_entry *users_find(const struct users *users, const char *name)
{
	struct node *node = NULL;

	if (users != NULL)
		HASH_FIND_STR(users->by_name, name, node);
	return node != NULL ? &node->entry : NULL;
}

size_t users_count(const struct users *users)
{
	return users != NULL ? HASH_COUNT(users->by_name) : 0;
}

const struct users_entry *users_at(const struct users *users, size_t i)
{
	check(i < users_count(users));
	return users->list[i];
}
