#include "proxy/session/image_ids.h"

#include "proxy/base/map.h"

#include <pthread.h>

struct image_id {
	uint64_t id;
	UT_hash_handle hh;
	uint8_t key[];
};

struct image_ids {
	pthread_mutex_t lock;
	struct image_id *table;
	uint64_t next;
};

struct image_ids *image_ids_new(void)
{
	struct image_ids *ids = check_alloc(sizeof *ids);

	pthread_mutex_init(&ids->lock, NULL);
	return ids;
}

void image_ids_free(struct image_ids **ids)
{
	struct image_id *i, *next;

	if (*ids == NULL)
		return;
	HASH_ITER (hh, (*ids)->table, i, next) {
		HASH_DEL((*ids)->table, i);
		free(i);
	}
	pthread_mutex_destroy(&(*ids)->lock);
	free(*ids);
	*ids = NULL;
}

uint64_t image_ids_of(struct image_ids *ids, struct span key)
{
	struct image_id *i;
	uint64_t id;

	if (key.n == 0)
		return 0;
	pthread_mutex_lock(&ids->lock);
	HASH_FIND(hh, ids->table, key.p, key.n, i);
	if (i == NULL) {
		id = ++ids->next;
		if (HASH_COUNT(ids->table) < IMAGE_IDS_MAX) {
			i = check_alloc(sizeof *i + key.n);
			i->id = id;
			memcpy(i->key, key.p, key.n);
			HASH_ADD_KEYPTR(hh, ids->table, i->key, key.n, i);
		}
	} else {
		id = i->id;
	}
	pthread_mutex_unlock(&ids->lock);
	return id;
}

uint64_t image_ids_fresh(struct image_ids *ids)
{
	uint64_t id;

	pthread_mutex_lock(&ids->lock);
	id = ++ids->next;
	pthread_mutex_unlock(&ids->lock);
	return id;
}
