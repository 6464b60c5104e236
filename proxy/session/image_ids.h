/* image_ids.h - a number for each distinct session image, over all workers.
 * Source  docs/isolation.md: PostgreSQL turns literals into values when it parses, under the settings of that moment, so a prepared
 *         statement is shared only between sessions with equal settings.
 * Shape   the image's cache key -> number; numbers are never used twice.
 * Owner   the app.
 * Thread  any (a lock); asked only when an image changes.
 * Errors  none: beyond IMAGE_IDS_MAX remembered images every asker gets a number of its own. */
#ifndef PROXY_SESSION_IMAGE_IDS_H
#define PROXY_SESSION_IMAGE_IDS_H

#include "protocol/span.h"

#define IMAGE_IDS_MAX 65536u

struct image_ids;

struct image_ids *image_ids_new(void);
void image_ids_free(struct image_ids **ids);
/* 0 for the empty image. */
uint64_t image_ids_of(struct image_ids *ids, struct span key);
/* A number that nobody else has: for a transaction whose settings are not known yet. */
uint64_t image_ids_fresh(struct image_ids *ids);

#endif
