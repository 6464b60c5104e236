/* What logins have taught: the canonical values and reported parameters that startup parameters lead to. */
#include "proxy/backend/pool_private.h"

#define WELCOMES_MAX 1000 /* of one pool */

void pool_welcome_unref(struct pool_welcome *w)
{
	if (w == NULL || atomic_fetch_sub(&w->refs, 1) != 1)
		return;
	settings_free(&w->params);
	settings_free(&w->image);
	free(w->key);
	free(w);
}

struct pool_welcome *pool_welcome_find(struct pool *p, struct span key)
{
	struct pool_welcome *w;

	pthread_mutex_lock(&p->lock);
	for (w = p->welcomes; w != NULL; w = w->next)
		if (span_eq(span_of(w->key, w->nkey), key))
			break;
	if (w != NULL)
		atomic_fetch_add(&w->refs, 1);
	pthread_mutex_unlock(&p->lock);
	return w;
}

void pool_welcome_add(struct pool *p, struct span key, const struct settings *params,
		      const struct settings *image)
{
	struct pool_welcome *w = check_alloc(sizeof *w), *last = NULL;

	atomic_init(&w->refs, 1);
	w->key = check_alloc(key.n + 1);
	memcpy(w->key, key.p, key.n);
	w->nkey = key.n;
	settings_copy(params, &w->params);
	settings_copy(image, &w->image);
	pthread_mutex_lock(&p->lock);
	w->next = p->welcomes;
	p->welcomes = w;
	if (++p->nwelcomes > WELCOMES_MAX) {
		/* The oldest goes. */
		struct pool_welcome **at = &p->welcomes;

		while ((*at)->next != NULL)
			at = &(*at)->next;
		last = *at;
		*at = NULL;
		p->nwelcomes--;
	}
	pthread_mutex_unlock(&p->lock);
	pool_welcome_unref(last);
}
