#include "proxy/origin/setup.h"

#include "proxy/base/check.h"
#include "proxy/origin/link.h"

#include <stdlib.h>
#include <string.h>

/* Quotes what is quoted by q in SQL, doubled inside. */
static void put_quoted(FILE *f, const char *text, char q)
{
	fputc(q, f);
	for (; *text != '\0'; text++) {
		if (*text == q)
			fputc(q, f);
		fputc(*text, f);
	}
	fputc(q, f);
}

const char *setup_refuses(const struct setup_wish *wish)
{
	if (strstr(wish->role, "$pgweir$") != NULL || strchr(wish->role, '\\') != NULL)
		return "the role's name has $pgweir$ or a backslash in it";
	if (wish->publication != NULL &&
	    (strstr(wish->publication, "$pgweir$") != NULL || strchr(wish->publication, '\\') != NULL))
		return "the publication's name has $pgweir$ or a backslash in it";
	return NULL;
}

bool setup_trigger_is(const char *source)
{
	const char *begin = strstr(setup_sql, "AS $$"), *end = strstr(setup_sql, "\n$$;");
	size_t n;

	check(begin != NULL && end != NULL && begin < end);
	begin += 5;
	n = (size_t)(end + 1 - begin);
	return strlen(source) == n && memcmp(source, begin, n) == 0;
}

/* --- the texts --- */

/* Managed services do not let anyone set REPLICATION but have a role of their own for it. */
static void write_role(FILE *f, const struct setup_wish *wish)
{
	fputs("DO $pgweir$\nBEGIN\n\tIF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = ", f);
	put_quoted(f, wish->role, '\'');
	fputs(") THEN\n\t\tCREATE ROLE ", f);
	put_quoted(f, wish->role, '"');
	fputs(" LOGIN;\n\tEND IF;\n"
	      "\tIF EXISTS (SELECT FROM pg_roles WHERE rolname = 'rds_replication') THEN\n\t\tGRANT rds_replication TO ",
	      f);
	put_quoted(f, wish->role, '"');
	fputs(";\n\tELSIF NOT (SELECT rolreplication OR rolsuper FROM pg_roles WHERE rolname = ", f);
	put_quoted(f, wish->role, '\'');
	fputs(") THEN\n\t\tALTER ROLE ", f);
	put_quoted(f, wish->role, '"');
	fputs(" REPLICATION;\n\tEND IF;\nEND\n$pgweir$;\n", f);
}

static void write_connect(FILE *f, const struct setup_wish *wish, const char *database)
{
	fputs("GRANT CONNECT ON DATABASE ", f);
	put_quoted(f, database, '"');
	fputs(" TO ", f);
	put_quoted(f, wish->role, '"');
	fputs(";\n", f);
}

/* Only tables whose changes carry a key: for others a publication would make their UPDATEs and DELETEs fail. In PostgreSQL 18 so would one
 * without the generated columns that are part of one. */
static void write_publication(FILE *f, const char *name)
{
	fputs("DO $pgweir$\nDECLARE\n\ttables text;\nBEGIN\n"
	      "\tSELECT string_agg(format('%I.%I', n.nspname, c.relname), ', ' ORDER BY n.nspname, c.relname) INTO tables\n"
	      "\tFROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace\n"
	      "\tWHERE c.relkind = 'r' AND c.relpersistence = 'p' AND n.nspname NOT IN ('pg_catalog', 'information_schema')\n"
	      "\tAND (c.relreplident = 'f' OR EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisvalid AND i.indimmediate\n"
	      "\t\tAND (c.relreplident = 'd' AND i.indisprimary OR c.relreplident = 'i' AND i.indisreplident)));\n"
	      "\tIF tables IS NULL THEN\n\t\tRAISE EXCEPTION 'no table has a primary key or another replica identity';\n\tEND IF;\n"
	      "\tIF EXISTS (SELECT FROM pg_publication WHERE pubname = ",
	      f);
	put_quoted(f, name, '\'');
	fputs(") THEN\n\t\tEXECUTE format('ALTER PUBLICATION %I SET TABLE %s', ", f);
	put_quoted(f, name, '\'');
	fputs(", tables);\n\tELSE\n\t\tEXECUTE format('CREATE PUBLICATION %I FOR TABLE %s WITH (publish_via_partition_root = false)', ",
	      f);
	put_quoted(f, name, '\'');
	fputs(", tables);\n\tEND IF;\n"
	      "\tIF current_setting('server_version_num')::int >= 180000 THEN\n"
	      "\t\tEXECUTE format('ALTER PUBLICATION %I SET (publish_generated_columns = stored)', ",
	      f);
	put_quoted(f, name, '\'');
	fputs(");\n\tEND IF;\nEND\n$pgweir$;\n", f);
}

void setup_print_role(FILE *f, const struct setup_wish *wish)
{
	fputs("-- What pgweir needs on the server. Run it with psql as a superuser, or as the administrator of a managed\n"
	      "-- service. It changes nothing in your tables and may be run again.\n"
	      "--\n"
	      "-- The server needs wal_level = logical; changing it needs a restart. Managed services have a parameter for it\n"
	      "-- (rds.logical_replication, cloudsql.logical_decoding, wal_level).\n"
	      "-- ALTER SYSTEM SET wal_level = 'logical';\n"
	      "\n-- The role that reads the change stream. It needs no right on any table.\n",
	      f);
	write_role(f, wish);
	fputs("-- and its password: \\password ", f);
	put_quoted(f, wish->role, '"');
	fputs("\n", f);
}

void setup_print_database(FILE *f, const struct setup_wish *wish, const char *database)
{
	fputs("\n\\connect ", f);
	put_quoted(f, database, '"');
	fputs("\n", f);
	write_connect(f, wish, database);
	if (wish->trigger)
		fprintf(f, "\n%s", setup_sql);
	if (wish->publication != NULL) {
		fputs("\n-- For feed_plugin = pgoutput. Run it again when tables were added.\n", f);
		write_publication(f, wish->publication);
	}
}

/* --- running them --- */

struct run {
	const struct setup_wish *wish;
	void (*fn)(void *arg, const char *step, const char *trouble);
	void *arg;
	struct err *err;
};

static void drop_notice(void *arg, const PGresult *notice)
{
	(void)arg;
	(void)notice;
}

static PGconn *connect_as(const char *admin, const char *database, struct err *err)
{
	/* The first dbname is taken apart, the second one overrides its database. */
	const char *keys[] = {"dbname", "dbname", "application_name", "connect_timeout", NULL};
	const char *values[] = {admin, database, "pgweir setup", "15", NULL};
	PGconn *conn = PQconnectdbParams(keys, values, 1);

	if (conn != NULL && PQstatus(conn) == CONNECTION_OK) {
		PQsetNoticeReceiver(conn, drop_notice, NULL);
		return conn;
	}
	link_failed(conn, "cannot connect", err);
	PQfinish(conn);
	return NULL;
}

static int query(PGconn *conn, const char *sql, struct err *err)
{
	static const struct link_wait forever = {.wake_fd = -1};
	PGresult *r;

	*err = (struct err){0};
	if (link_query(conn, sql, &forever, &r, err) != 0)
		return -1;
	PQclear(r);
	return 0;
}

/* One step from its text; frees the text. */
static int step(struct run *run, PGconn *conn, const char *name, char *sql, bool optional)
{
	int rc = query(conn, sql, run->err);

	free(sql);
	if (rc == 0)
		run->fn(run->arg, name, NULL);
	else if (optional)
		run->fn(run->arg, name, run->err->text);
	return optional ? 0 : rc;
}

static char *text_of(void (*write)(FILE *f, const struct setup_wish *wish, const char *database),
		     const struct setup_wish *wish, const char *database)
{
	char *text = NULL;
	size_t n;
	FILE *f = open_memstream(&text, &n);

	check(f != NULL);
	write(f, wish, database);
	check(fclose(f) == 0 && text != NULL);
	return text;
}

static void role_text(FILE *f, const struct setup_wish *wish, const char *database)
{
	(void)database;
	write_role(f, wish);
}

static void trigger_text(FILE *f, const struct setup_wish *wish, const char *database)
{
	(void)wish;
	(void)database;
	fputs(setup_sql, f);
}

static void publication_text(FILE *f, const struct setup_wish *wish, const char *database)
{
	(void)database;
	write_publication(f, wish->publication);
}

static bool role_exists(PGconn *conn, const char *role)
{
	const char *values[1] = {role};
	PGresult *r =
		PQexecParams(conn, "SELECT FROM pg_roles WHERE rolname = $1", 1, NULL, values, NULL, NULL, 0);
	bool exists = PQresultStatus(r) == PGRES_TUPLES_OK && PQntuples(r) > 0;

	PQclear(r);
	return exists;
}

/* The password never travels, nor reaches a log of statements: only its SCRAM secret does. */
static int give_password(struct run *run, PGconn *conn)
{
	char *secret = PQencryptPasswordConn(conn, run->wish->password, run->wish->role, "scram-sha-256");
	char *sql = NULL;
	size_t n;
	FILE *f;

	if (secret == NULL)
		return link_failed(conn, "cannot make a SCRAM secret", run->err);
	f = open_memstream(&sql, &n);
	check(f != NULL);
	fputs("ALTER ROLE ", f);
	put_quoted(f, run->wish->role, '"');
	fprintf(f, " PASSWORD '%s'", secret);
	check(fclose(f) == 0);
	PQfreemem(secret);
	return step(run, conn, "password", sql, false);
}

static int apply_role(struct run *run, PGconn *conn)
{
	bool existed = role_exists(conn, run->wish->role);

	if (step(run, conn, "role", text_of(role_text, run->wish, NULL), false) != 0)
		return -1;
	return existed || run->wish->password == NULL ? 0 : give_password(run, conn);
}

static int apply_database(struct run *run, PGconn *conn, const char *database)
{
	if (step(run, conn, "right to connect", text_of(write_connect, run->wish, database), false) != 0)
		return -1;
	if (run->wish->trigger &&
	    step(run, conn, "event trigger", text_of(trigger_text, run->wish, database), true) != 0)
		return -1;
	if (run->wish->publication == NULL)
		return 0;
	return step(run, conn, "publication", text_of(publication_text, run->wish, database), false);
}

int setup_apply(const struct setup_wish *wish, const char *admin, const char *const *databases,
		unsigned ndatabases, void (*fn)(void *arg, const char *step, const char *trouble), void *arg,
		struct err *err)
{
	struct run run = {.wish = wish, .fn = fn, .arg = arg, .err = err};
	int rc = 0;

	for (unsigned i = 0; rc == 0 && i < ndatabases; i++) {
		PGconn *conn = connect_as(admin, databases[i], err);

		if (conn == NULL)
			return -1;
		if (i == 0)
			rc = apply_role(&run, conn);
		if (rc == 0)
			rc = apply_database(&run, conn, databases[i]);
		PQfinish(conn);
	}
	return rc;
}
