/* held_commit.c - a module for PostgreSQL: the session that LOADs it stops in its next commits while the file HELD_COMMIT exists.
 * Source  PostgreSQL's CommitTransaction: the callbacks run when the commit is visible to new snapshots, before the other backends are
 *         told of changed catalogs and before the locks are released.
 * Shape   the file HELD_COMMIT ".held" appears when a commit has stopped. The few declarations are written out, so that the server's
 *         headers are not needed; they are those of PostgreSQL 15.
 * Owner   -
 * Thread  the backend's only one.
 * Errors  - */
#include <fcntl.h>
#include <unistd.h>

struct magic {
	int n, version, max_args, max_keys, name_n, float8_by_value;
	char extra[32];
};

void RegisterXactCallback(void (*callback)(int event, void *arg), void *arg);
const struct magic *Pg_magic_func(void);
void _PG_init(void);

const struct magic *Pg_magic_func(void)
{
	static const struct magic magic = {sizeof magic, 1500, 100, 32, 64, 1, "PostgreSQL"};

	return &magic;
}

static void at_end(int event, void *arg)
{
	int fd;

	(void)arg;
	if (event != 0 || access(HELD_COMMIT, F_OK) != 0)
		return;
	fd = open(HELD_COMMIT ".held", O_CREAT | O_WRONLY, 0644);
	if (fd >= 0)
		close(fd);
	while (access(HELD_COMMIT, F_OK) == 0)
		usleep(1000);
	unlink(HELD_COMMIT ".held");
}

void _PG_init(void)
{
	RegisterXactCallback(at_end, NULL);
}
