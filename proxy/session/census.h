/* census.h - how many clients each database and each user has, over all workers.
 * Source  PgBouncer's max_db_client_connections, max_user_client_connections.
 * Shape   a count per name.
 * Owner   the app.
 * Thread  any (a lock); asked at logins and ends only.
 * Errors  census_enter returns the name of the option whose bound is reached, NULL = in. */
#ifndef PROXY_SESSION_CENSUS_H
#define PROXY_SESSION_CENSUS_H

struct census;

struct census *census_new(void);
void census_free(struct census **c);
/* A bound of 0 is none. */
const char *census_enter(struct census *c, const char *database, unsigned max_database, const char *user,
			 unsigned max_user);
void census_leave(struct census *c, const char *database, const char *user);
/* Clients of that database now. */
unsigned census_count(struct census *c, const char *database);

#endif
