#include "tests/unit/origin/cluster.h"
#include "proxy/base/clock.h"
#include "tests/support/test.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define BIN "/usr/lib/postgresql/15/bin/"

void pause_ms(unsigned ms)
{
	poll(NULL, 0, (int)ms);
}

uint64_t deadline_in(unsigned seconds)
{
	return clock_us() + (uint64_t)seconds * 1000000;
}

bool expired(uint64_t deadline)
{
	return clock_us() > deadline;
}

/* PostgreSQL refuses to run as root. */
static const struct passwd *server_user(void)
{
	return geteuid() == 0 ? getpwnam("postgres") : NULL;
}

static void become_server_user(void)
{
	const struct passwd *user = server_user();

	if (user != NULL && (setgid(user->pw_gid) != 0 || setuid(user->pw_uid) != 0))
		_exit(126);
}

static pid_t spawn(const struct cluster *c, char *const *argv)
{
	char log[96];
	pid_t pid;
	int fd;

	snprintf(log, sizeof(log), "%s/log", c->dir);
	pid = fork();
	if (pid != 0)
		return pid;
	become_server_user();
	prctl(PR_SET_PDEATHSIG, SIGQUIT);
	fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0644);
	if (fd >= 0) {
		dup2(fd, STDOUT_FILENO);
		dup2(fd, STDERR_FILENO);
	}
	if (chdir(c->dir) == 0)
		execv(argv[0], argv);
	_exit(127);
}

static bool run(const struct cluster *c, char *const *argv)
{
	pid_t pid = spawn(c, argv);
	int status = -1;

	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void launch(struct cluster *c)
{
	char *argv[] = {BIN "postgres", "-D", "data", NULL};

	c->pid = spawn(c, argv);
	REQUIRE(c->pid > 0);
}

static PGconn *try_connect(const struct cluster *c, const char *dbname, const char *user)
{
	const char *keys[] = {"host", "port", "dbname", "user", "connect_timeout", NULL};
	const char *values[] = {c->dir, "5432", dbname, user, "10", NULL};

	return PQconnectdbParams(keys, values, 0);
}

/* After a crash the postmaster may refuse until the last orphan of the old one is gone. */
static void wait_up(struct cluster *c)
{
	uint64_t until = deadline_in(60);
	bool up = false;

	while (!up && !expired(until)) {
		PGconn *conn = try_connect(c, "postgres", "postgres");
		int status;

		up = PQstatus(conn) == CONNECTION_OK;
		PQfinish(conn);
		if (!up && waitpid(c->pid, &status, WNOHANG) == c->pid) {
			pause_ms(50);
			launch(c);
		}
		if (!up)
			pause_ms(10);
	}
	REQUIRE(up);
}

static void configure(const struct cluster *c, const char *settings)
{
	char path[96];
	FILE *file;

	snprintf(path, sizeof(path), "%s/data/postgresql.conf", c->dir);
	file = fopen(path, "a");
	REQUIRE(file != NULL);
	fprintf(file,
		"listen_addresses = ''\nunix_socket_directories = '%s'\nfsync = off\nwal_level = logical\n"
		"max_prepared_transactions = 4\nautovacuum = off\nshared_buffers = 16MB\nmax_connections = 40\n%s\n",
		c->dir, settings != NULL ? settings : "");
	fclose(file);
}

void cluster_start(struct cluster *c, const char *settings)
{
	char *initdb[] = {BIN "initdb", "-D",	     "data",	    "-A", "trust", "-U",
			  "postgres",	"--no-sync", "--no-locale", "-E", "UTF8",  NULL};
	const struct passwd *user = server_user();
	const char *tmpdir = getenv("TMPDIR");
	PGconn *conn;

	*c = (struct cluster){0};
	snprintf(c->dir, sizeof(c->dir), "%s/pgweir-origin-XXXXXX", tmpdir != NULL ? tmpdir : "/tmp");
	REQUIRE(mkdtemp(c->dir) != NULL);
	REQUIRE(user == NULL || chown(c->dir, user->pw_uid, user->pw_gid) == 0);
	REQUIRE(run(c, initdb));
	configure(c, settings);
	launch(c);
	wait_up(c);
	conn = cluster_connect(c, "postgres", "postgres");
	sql(conn, "CREATE ROLE feed LOGIN REPLICATION");
	sql(conn, "CREATE DATABASE app");
	PQfinish(conn);
}

static void reap(struct cluster *c)
{
	int status;

	while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR)
		;
	c->pid = 0;
}

void cluster_stop(struct cluster *c)
{
	char *rm[] = {"/bin/rm", "-rf", c->dir, NULL};

	kill(c->pid, SIGINT);
	reap(c);
	run(c, rm);
}

void cluster_crash(struct cluster *c)
{
	char path[96];

	kill(c->pid, SIGKILL);
	reap(c);
	snprintf(path, sizeof(path), "%s/data/postmaster.pid", c->dir);
	unlink(path);
	launch(c);
	wait_up(c);
}

PGconn *cluster_connect(const struct cluster *c, const char *dbname, const char *user)
{
	PGconn *conn = try_connect(c, dbname, user);

	if (PQstatus(conn) != CONNECTION_OK)
		fprintf(stderr, "connect: %s\n", PQerrorMessage(conn));
	REQUIRE(PQstatus(conn) == CONNECTION_OK);
	return conn;
}

static PGresult *execute(PGconn *conn, const char *text, va_list args)
{
	char statement[16384];
	PGresult *result;

	vsnprintf(statement, sizeof(statement), text, args);
	result = PQexec(conn, statement);
	if (PQresultStatus(result) != PGRES_TUPLES_OK && PQresultStatus(result) != PGRES_COMMAND_OK) {
		fprintf(stderr, "%s\n%s\n", statement, PQerrorMessage(conn));
		PQclear(result);
		return NULL;
	}
	return result;
}

void sql(PGconn *conn, const char *text, ...)
{
	PGresult *result;
	va_list args;

	va_start(args, text);
	result = execute(conn, text, args);
	va_end(args);
	REQUIRE(result != NULL);
	PQclear(result);
}

const char *sql_text(PGconn *conn, const char *text, ...)
{
	static char field[1024];
	PGresult *result;
	va_list args;

	va_start(args, text);
	result = execute(conn, text, args);
	va_end(args);
	REQUIRE(result != NULL);
	snprintf(field, sizeof(field), "%s", PQntuples(result) > 0 ? PQgetvalue(result, 0, 0) : "");
	PQclear(result);
	return field;
}
