/* How many backends a database or a user may have over all pools. */
#include "proxy/backend/target.h"
#include "proxy/base/map.h"

struct budget {
	char *name; /* owned: 'd' or 'u', then the name */
	unsigned n;
	UT_hash_handle hh;
};

/* Pools of several databases share a user's budget, so the counts belong to the process. */
static pthread_mutex_t budget_lock = PTHREAD_MUTEX_INITIALIZER;
static struct budget *budget_table;

static struct budget *budget_of(char kind, const char *name)
{
	char key[256];
	struct budget *b;

	snprintf(key, sizeof key, "%c%s", kind, name);
	HASH_FIND_STR(budget_table, key, b);
	if (b == NULL) {
		b = check_alloc(sizeof *b);
		b->name = strdup(key);
		check(b->name != NULL);
		HASH_ADD_KEYPTR(hh, budget_table, b->name, strlen(b->name), b);
	}
	return b;
}

bool target_budget_take(struct pool_target *t)
{
	unsigned max_db = (unsigned)t->policy.max_db_connections,
		 max_user = (unsigned)t->policy.max_user_connections;
	struct budget *db, *user;
	bool ok;

	pthread_mutex_lock(&budget_lock);
	db = budget_of('d', t->dbname);
	user = budget_of('u', t->user);
	ok = (max_db == 0 || db->n < max_db) && (max_user == 0 || user->n < max_user);
	if (ok) {
		db->n++;
		user->n++;
	}
	pthread_mutex_unlock(&budget_lock);
	return ok;
}

void target_budget_give(struct pool_target *t)
{
	pthread_mutex_lock(&budget_lock);
	budget_of('d', t->dbname)->n--;
	budget_of('u', t->user)->n--;
	pthread_mutex_unlock(&budget_lock);
}
