#include "config/policy.h"

#include "config/option.h"

static void apply(const struct config_override *over, struct policy *r)
{
	unsigned n;
	const struct config_option *rows = config_options(&n);

	for (unsigned i = 0; i < n; i++)
		if (over->set[i])
			option_copy(&rows[i], option_in_policy(r, i), option_in_policy(&over->values, i));
}

void policy_of(const struct config *cfg, const char *database, const char *user, struct policy *r)
{
	const struct config_database *db = database != NULL ? config_database(cfg, database) : NULL;
	const struct config_user *u = user != NULL ? config_user(cfg, user) : NULL;

	/* Asked at every login: no loop over the rows. */
#define OPT(type, name, def, min, max, scope, life, help) POLICY_IN_##scope(r->name = cfg->name;)
#include "config/options.def"
	if (db != NULL)
		apply(&db->over, r);
	if (u != NULL)
		apply(&u->over, r);
}
