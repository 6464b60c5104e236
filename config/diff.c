#include "config/diff.h"

#include "config/option.h"
#include "proxy/base/check.h"

#include <stdlib.h>
#include <string.h>

static void add(struct diff *d, struct diff_item item)
{
	if ((d->count & (d->count - 1)) == 0) {
		/* At every power of two, so that no field has to keep the room. */
		struct diff_item *more = check_alloc((d->count ? d->count * 2 : 1) * sizeof *more);

		if (d->count > 0)
			memcpy(more, d->items, d->count * sizeof *more);
		free(d->items);
		d->items = more;
	}
	d->items[d->count++] = item;
}

static void diff_options(const struct config *before, const struct config *after, struct diff *d)
{
	unsigned n;
	const struct config_option *rows = config_options(&n);

	for (unsigned i = 0; i < n; i++) {
		const void *was = option_in_config(before, i), *is = option_in_config(after, i);
		bool restart = rows[i].life == CONFIG_RESTART;

		if (was == NULL || rows[i].life == CONFIG_IGNORED || option_equal(&rows[i], was, is))
			continue;
		add(d, (struct diff_item){
			       .what = DIFF_OPTION,
			       .how = DIFF_CHANGED,
			       .name = rows[i].name,
			       .option = &rows[i],
			       .restart = restart,
		       });
		d->restart |= restart;
		d->server_tls |= strncmp(rows[i].name, "server_tls", 10) == 0;
		d->client_tls |= strncmp(rows[i].name, "client_tls", 10) == 0;
	}
}

static bool same_overrides(const struct config_override *a, const struct config_override *b)
{
	unsigned n;
	const struct config_option *rows = config_options(&n);

	for (unsigned i = 0; i < n; i++) {
		if (a->set[i] != b->set[i])
			return false;
		if (a->set[i] &&
		    !option_equal(&rows[i], option_in_policy(&a->values, i), option_in_policy(&b->values, i)))
			return false;
	}
	return true;
}

/* Does a server connection made under a differ from one made under b? The order in which hosts are tried
 * does not count, the hosts do; those of an entry without host= come from unix_socket_dir. */
static bool same_server(const struct config_database *a, const struct config_database *b)
{
	unsigned n;
	const struct config_option *rows = config_options(&n);

	for (unsigned i = 0; i < n; i++) {
		const void *was = option_in_database(a, i), *is = option_in_database(b, i);

		if (was != NULL && i != OPTION_load_balance_hosts && !option_equal(&rows[i], was, is))
			return false;
	}
	if (a->host_count != b->host_count)
		return false;
	for (unsigned i = 0; i < a->host_count; i++)
		if (strcmp(a->hosts[i], b->hosts[i]) != 0)
			return false;
	return true;
}

static bool same_feed(const struct config *before, const struct config *after, const char *name)
{
	struct policy was, is;

	policy_of(before, name, NULL, &was);
	policy_of(after, name, NULL, &is);
	return was.feed_plugin == is.feed_plugin && strcmp(was.feed_user, is.feed_user) == 0 &&
	       strcmp(was.feed_password, is.feed_password) == 0 &&
	       strcmp(was.feed_publication, is.feed_publication) == 0 &&
	       (was.coherence == COHERENCE_OFF) == (is.coherence == COHERENCE_OFF);
}

static void diff_database(const struct config *before, const struct config *after,
			  const struct config_database *was, const struct config_database *is, struct diff *d)
{
	struct diff_item item = {.what = DIFF_DATABASE, .how = DIFF_CHANGED, .name = is->name};

	item.reconnect = !same_server(was, is);
	item.feed = item.reconnect || !same_feed(before, after, is->name);
	if (item.feed || was->load_balance_hosts != is->load_balance_hosts ||
	    !same_overrides(&was->over, &is->over))
		add(d, item);
}

static void diff_databases(const struct config *before, const struct config *after, struct diff *d)
{
	unsigned i = 0, j = 0;

	while (i < before->database_count || j < after->database_count) {
		int order = i == before->database_count ? 1
			    : j == after->database_count
				    ? -1
				    : strcmp(before->databases[i]->name, after->databases[j]->name);

		if (order < 0)
			add(d, (struct diff_item){.what = DIFF_DATABASE,
						  .how = DIFF_REMOVED,
						  .name = before->databases[i++]->name});
		else if (order > 0)
			add(d, (struct diff_item){.what = DIFF_DATABASE,
						  .how = DIFF_ADDED,
						  .name = after->databases[j++]->name});
		else
			diff_database(before, after, before->databases[i++], after->databases[j++], d);
	}
}

static void diff_users(const struct config *before, const struct config *after, struct diff *d)
{
	unsigned i = 0, j = 0;

	while (i < before->user_count || j < after->user_count) {
		int order = i == before->user_count  ? 1
			    : j == after->user_count ? -1
						     : strcmp(before->users[i]->name, after->users[j]->name);

		if (order < 0) {
			add(d, (struct diff_item){.what = DIFF_USER,
						  .how = DIFF_REMOVED,
						  .name = before->users[i++]->name});
		} else if (order > 0) {
			add(d, (struct diff_item){.what = DIFF_USER,
						  .how = DIFF_ADDED,
						  .name = after->users[j++]->name});
		} else {
			if (!same_overrides(&before->users[i]->over, &after->users[j]->over))
				add(d, (struct diff_item){.what = DIFF_USER,
							  .how = DIFF_CHANGED,
							  .name = after->users[j]->name});
			i++, j++;
		}
	}
}

/* Peers are few and have no names: their host stands for them. */
static void diff_peers(const struct config *before, const struct config *after, struct diff *d)
{
	for (unsigned i = 0; i < before->peer_count; i++)
		if (config_peer(after, before->peers[i].id) == NULL)
			add(d, (struct diff_item){.what = DIFF_PEER,
						  .how = DIFF_REMOVED,
						  .name = before->peers[i].host});
	for (unsigned i = 0; i < after->peer_count; i++) {
		const struct config_peer *is = &after->peers[i], *was = config_peer(before, is->id);

		if (was == NULL)
			add(d, (struct diff_item){.what = DIFF_PEER, .how = DIFF_ADDED, .name = is->host});
		else if (strcmp(was->host, is->host) != 0 || was->port != is->port ||
			 was->pool_size != is->pool_size)
			add(d, (struct diff_item){.what = DIFF_PEER, .how = DIFF_CHANGED, .name = is->host});
	}
}

void diff_configs(const struct config *before, const struct config *after, struct diff *diff_r)
{
	*diff_r = (struct diff){0};
	diff_options(before, after, diff_r);
	diff_databases(before, after, diff_r);
	diff_users(before, after, diff_r);
	diff_peers(before, after, diff_r);
}

void diff_free(struct diff *diff)
{
	free(diff->items);
	*diff = (struct diff){0};
}
