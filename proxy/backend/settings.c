#include "proxy/backend/settings.h"

#include <stdlib.h>
#include <strings.h>
#include <xxhash.h>

void settings_init(struct settings *s)
{
	*s = (struct settings){0};
}

static void set_unref(struct settings_set *set)
{
	if (set == NULL || atomic_fetch_sub_explicit(&set->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (unsigned i = 0; i < set->n; i++) {
		free(set->at[i].name);
		free(set->at[i].value);
	}
	free(set);
}

void settings_clear(struct settings *s)
{
	struct settings_set *set = settings_shared(s);

	settings_init(s);
	set_unref(set);
}

void settings_free(struct settings *s)
{
	settings_clear(s);
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

static bool set_copy(const struct settings_set *from, struct settings_set *to)
{
	for (; to->n < from->n; to->n++) {
		struct setting *e = &to->at[to->n];

		e->name = strdup(from->at[to->n].name);
		e->value = strdup(from->at[to->n].value);
		if (e->name != NULL && e->value != NULL)
			continue;
		free(e->name);
		free(e->value);
		return false;
	}
	return true;
}

/* A set of its own with room for `n`. The old one is returned in *old_r for set_unref once nothing points into it any more. */
static struct settings_set *own(struct settings *s, unsigned n, struct settings_set **old_r)
{
	struct settings_set *old = settings_shared(s), *set;
	unsigned cap = old != NULL && old->cap >= n ? old->cap : n < 4 ? 4 : n + n / 2;

	*old_r = NULL;
	if (old != NULL && old->cap >= n && atomic_load_explicit(&old->refs, memory_order_acquire) == 1)
		return old;
	set = malloc(sizeof *set + cap * sizeof *set->at);
	if (set == NULL)
		return NULL;
	atomic_init(&set->refs, 1);
	set->n = 0;
	set->cap = cap;
	set->hash = old == NULL ? 0 : old->hash;
	if (old != NULL && !set_copy(old, set)) {
		set_unref(set);
		return NULL;
	}
	s->at = set->at;
	*old_r = old;
	return set;
}

static int remove_at(struct settings *s, unsigned i)
{
	struct settings_set *old, *set = own(s, s->n, &old);
	struct setting *e;

	if (set == NULL)
		return -1;
	e = &set->at[i];
	set->hash -= one_hash(e->name, e->value);
	s->bytes -= (uint32_t)(strlen(e->name) + strlen(e->value));
	free(e->name);
	free(e->value);
	memmove(e, e + 1, (s->n - i - 1) * sizeof *e);
	s->n = --set->n;
	set_unref(old);
	return 1;
}

static int replace_value(struct settings *s, unsigned i, struct span value)
{
	struct settings_set *old, *set;
	struct setting *e;
	char *v;

	if (strlen(s->at[i].value) == value.n && memcmp(s->at[i].value, value.p, value.n) == 0)
		return 0;
	if (s->bytes + value.n > SETTINGS_BYTES || (v = dup_span(value)) == NULL)
		return -1;
	set = own(s, s->n, &old);
	if (set == NULL) {
		free(v);
		return -1;
	}
	e = &set->at[i];
	set->hash -= one_hash(e->name, e->value);
	s->bytes = (uint32_t)(s->bytes + value.n - strlen(e->value));
	free(e->value);
	e->value = v;
	set->hash += one_hash(e->name, e->value);
	set_unref(old);
	return 1;
}

static int insert_at(struct settings *s, unsigned i, struct span name, struct span value)
{
	char *n = dup_span(name), *v = dup_span(value);
	struct settings_set *old, *set = n != NULL && v != NULL ? own(s, s->n + 1, &old) : NULL;

	if (set == NULL) {
		free(n);
		free(v);
		return -1;
	}
	memmove(&set->at[i + 1], &set->at[i], (s->n - i) * sizeof *set->at);
	set->at[i] = (struct setting){.name = n, .value = v};
	s->n = ++set->n;
	s->bytes += (uint32_t)(name.n + value.n);
	set->hash += one_hash(n, v);
	set_unref(old);
	return 1;
}

int settings_set(struct settings *s, struct span name, const struct span *value)
{
	char *n = dup_span(name);
	bool found;
	unsigned i;

	if (n == NULL)
		return -1;
	i = find(s, n, &found);
	free(n);
	if (value == NULL)
		return found ? remove_at(s, i) : 0;
	if (found)
		return replace_value(s, i, *value);
	if (s->n >= SETTINGS_MAX || s->bytes + name.n + value->n > SETTINGS_BYTES)
		return -1;
	return insert_at(s, i, name, *value);
}

int settings_keep_roles(struct settings *s)
{
	for (unsigned i = s->n; i-- > 0;)
		if (strcasecmp(s->at[i].name, "role") != 0 &&
		    strcasecmp(s->at[i].name, "session_authorization") != 0 && remove_at(s, i) < 0)
			return -1;
	return 0;
}

const char *settings_get(const struct settings *s, const char *name)
{
	bool found;
	unsigned i = find(s, name, &found);

	return found ? s->at[i].value : NULL;
}

const char *settings_spelling(const struct settings *s, const char *name)
{
	bool found;
	unsigned i = find(s, name, &found);

	return found ? s->at[i].name : NULL;
}

int settings_copy(const struct settings *from, struct settings *to)
{
	struct settings copy = *from;

	if (copy.at != NULL)
		atomic_fetch_add_explicit(&settings_shared(&copy)->refs, 1, memory_order_relaxed);
	settings_clear(to);
	*to = copy;
	return 0;
}

bool settings_equal(const struct settings *a, const struct settings *b)
{
	if (a->at == b->at)
		return true;
	if (a->n != b->n)
		return false;
	/* The hash speaks first; the full comparison makes a collision harmless. */
	if (a->n > 0 && settings_shared(a)->hash != settings_shared(b)->hash)
		return false;
	for (unsigned i = 0; i < a->n; i++)
		if (strcasecmp(a->at[i].name, b->at[i].name) != 0 ||
		    strcmp(a->at[i].value, b->at[i].value) != 0)
			return false;
	return true;
}

static unsigned sharers(const struct settings *s)
{
	return atomic_load_explicit(&settings_shared(s)->refs, memory_order_relaxed);
}

bool settings_same(struct settings *mine, const struct settings *other)
{
	if (mine->at == other->at)
		return true;
	if (!settings_equal(mine, other))
		return false;
	settings_copy(other, mine);
	return true;
}

bool settings_unite(struct settings *a, struct settings *b)
{
	if (a->at == b->at)
		return true;
	if (!settings_equal(a, b))
		return false;
	/* Many sessions meet many backends: only when all drift to the same memory does the comparing end. */
	if (a->at == NULL || b->at == NULL || sharers(a) < sharers(b) ||
	    (sharers(a) == sharers(b) && (uintptr_t)a->at > (uintptr_t)b->at))
		settings_copy(b, a);
	else
		settings_copy(a, b);
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
