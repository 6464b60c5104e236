#include "proxy/backend/settings.h"

#include <stdlib.h>
#include <strings.h>
#include <xxhash.h>

void settings_init(struct settings *s)
{
	*s = (struct settings){0};
}

void settings_clear(struct settings *s)
{
	for (unsigned i = 0; i < s->n; i++) {
		free(s->at[i].name);
		free(s->at[i].value);
	}
	s->n = 0;
	s->bytes = 0;
	s->hash = 0;
}

void settings_free(struct settings *s)
{
	settings_clear(s);
	free(s->at);
	settings_init(s);
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

/* Does not depend on the case in which the name was written. */
static uint64_t one_hash(const char *name, const char *value)
{
	char small[64];
	size_t n = 0;

	while (n < sizeof small && name[n] != '\0') {
		small[n] = lower(name[n]);
		n++;
	}
	return XXH3_64bits_withSeed(value, strlen(value), XXH3_64bits(small, n) | 1);
}

static char *dup_span(struct span s)
{
	char *p = malloc(s.n + 1);

	if (p == NULL)
		return NULL;
	if (s.n > 0)
		memcpy(p, s.p, s.n);
	p[s.n] = '\0';
	return p;
}

/* Index of the name, or where it would go. */
static unsigned find(const struct settings *s, const char *name, bool *found_r)
{
	unsigned lo = 0, hi = s->n;

	while (lo < hi) {
		unsigned mid = (lo + hi) / 2;
		int c = strcasecmp(s->at[mid].name, name);

		if (c == 0) {
			*found_r = true;
			return mid;
		}
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	*found_r = false;
	return lo;
}

static void remove_at(struct settings *s, unsigned i)
{
	struct setting *e = &s->at[i];

	s->hash -= one_hash(e->name, e->value);
	s->bytes -= strlen(e->name) + strlen(e->value);
	free(e->name);
	free(e->value);
	memmove(e, e + 1, (s->n - i - 1) * sizeof *e);
	s->n--;
}

static int replace_value(struct settings *s, struct setting *e, struct span value)
{
	char *v;

	if (strlen(e->value) == value.n && memcmp(e->value, value.p, value.n) == 0)
		return 0;
	if (s->bytes + value.n > SETTINGS_BYTES || (v = dup_span(value)) == NULL)
		return -1;
	s->hash -= one_hash(e->name, e->value);
	s->bytes += value.n - strlen(e->value);
	free(e->value);
	e->value = v;
	s->hash += one_hash(e->name, e->value);
	return 1;
}

static int insert_at(struct settings *s, unsigned i, char *name, struct span value)
{
	char *v = dup_span(value);

	if (v == NULL)
		return -1;
	if (s->n == s->cap) {
		unsigned cap = s->cap ? s->cap * 2 : 8;
		struct setting *at = realloc(s->at, cap * sizeof *at);

		if (at == NULL) {
			free(v);
			return -1;
		}
		s->at = at;
		s->cap = cap;
	}
	memmove(&s->at[i + 1], &s->at[i], (s->n - i) * sizeof *s->at);
	s->at[i] = (struct setting){.name = name, .value = v};
	s->n++;
	s->bytes += strlen(name) + value.n;
	s->hash += one_hash(name, v);
	return 1;
}

int settings_set(struct settings *s, struct span name, const struct span *value)
{
	char *n = dup_span(name);
	bool found;
	unsigned i;
	int rc;

	if (n == NULL)
		return -1;
	i = find(s, n, &found);
	if (value == NULL) {
		if (found)
			remove_at(s, i);
		free(n);
		return found ? 1 : 0;
	}
	if (found) {
		rc = replace_value(s, &s->at[i], *value);
		free(n);
		return rc;
	}
	if (s->n >= SETTINGS_MAX || s->bytes + name.n + value->n > SETTINGS_BYTES) {
		free(n);
		return -1;
	}
	rc = insert_at(s, i, n, *value);
	if (rc < 0)
		free(n);
	return rc;
}

void settings_keep_roles(struct settings *s)
{
	for (unsigned i = s->n; i-- > 0;)
		if (strcasecmp(s->at[i].name, "role") != 0 &&
		    strcasecmp(s->at[i].name, "session_authorization") != 0)
			remove_at(s, i);
}

const char *settings_get(const struct settings *s, const char *name)
{
	bool found;
	unsigned i = find(s, name, &found);

	return found ? s->at[i].value : NULL;
}

int settings_copy(const struct settings *from, struct settings *to)
{
	settings_clear(to);
	for (unsigned i = 0; i < from->n; i++) {
		struct span v = span_str(from->at[i].value);

		if (settings_set(to, span_str(from->at[i].name), &v) < 0)
			return -1;
	}
	return 0;
}

bool settings_equal(const struct settings *a, const struct settings *b)
{
	/* The hash speaks first; the full comparison makes a collision harmless. */
	if (a->hash != b->hash || a->n != b->n)
		return false;
	for (unsigned i = 0; i < a->n; i++)
		if (strcasecmp(a->at[i].name, b->at[i].name) != 0 ||
		    strcmp(a->at[i].value, b->at[i].value) != 0)
			return false;
	return true;
}

void settings_diff(const struct settings *have, const struct settings *want,
		   void (*fn)(void *arg, const char *name, const char *value), void *arg)
{
	unsigned i = 0, j = 0;

	while (i < have->n || j < want->n) {
		int c = i == have->n ? 1 : j == want->n ? -1 : strcasecmp(have->at[i].name, want->at[j].name);

		if (c < 0) {
			fn(arg, have->at[i++].name, NULL);
		} else if (c > 0) {
			fn(arg, want->at[j].name, want->at[j].value);
			j++;
		} else {
			if (strcmp(have->at[i].value, want->at[j].value) != 0)
				fn(arg, want->at[j].name, want->at[j].value);
			i++;
			j++;
		}
	}
}
