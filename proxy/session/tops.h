/* tops.h - which statements and tables the cache is used for: what sessions count into the house's top lists.
 * Source  toplist.h. A statement is told by its shape: literals are left out, so that no value of a client is shown.
 * Shape   one call per hit, miss and stored answer.
 * Owner   the house's lists.
 * Thread  the worker's.
 * Errors  none. */
#ifndef PROXY_SESSION_TOPS_H
#define PROXY_SESSION_TOPS_H

#include "proxy/session/house.h"

#define TOPS_ROWS 200u /* of each list of a worker */

/* The statement's number in the list, for what is known of it later. */
uint64_t tops_statement(struct house *h, const struct served *served, struct stmt *stmt,
			enum toplist_kind kind);
void tops_again(struct house *h, uint64_t id, enum toplist_kind kind);
void tops_relations(struct house *h, const struct served *served, const uint32_t *relids, unsigned n,
		    enum toplist_kind kind);

#endif
