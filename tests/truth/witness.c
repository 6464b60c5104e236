#include "tests/truth/witness.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* Who waits for what: a process without a wait event that is active has work to do, and got no CPU for it. */
static char activity[] =
	"SELECT pid, backend_type AS type, state, wait_event_type || '.' || wait_event AS waits, "
	"pg_blocking_pids(pid) AS for, "
	"round(extract(epoch FROM clock_timestamp() - query_start)::numeric, 1) AS seconds, "
	"application_name AS app, client_port AS port, left(query, 60) AS query "
	"FROM pg_stat_activity WHERE pid <> pg_backend_pid() ORDER BY query_start";
static char machine[] =
	"cat /proc/loadavg; ps -eo pid,ppid,stat,wchan:24,pcpu,time,args --sort=-pcpu | cut -c1-150 | head -40; "
	"ss -tno | awk 'NR == 1 || $2 > 0 || $3 > 0' | head -40";

static void run(char *const *command)
{
	pid_t pid;

	fflush(stderr);
	pid = fork();
	if (pid < 0) {
		perror("fork");
		return;
	}
	if (pid == 0) {
		dup2(STDERR_FILENO, STDOUT_FILENO);
		execvp(command[0], command);
		perror(command[0]);
		_exit(127);
	}
	waitpid(pid, NULL, 0);
}

static void ask(const char *conninfo, const char *database, char *sql)
{
	char *where;

	if (asprintf(&where, "%s%s", conninfo, database) < 0) /* the last dbname counts */
		return;
	fprintf(stderr, "WITNESS: %s: %.60s\n", where, sql);
	run((char *[]){"timeout", "5", "psql", "-X", "-d", where, "-c", sql, NULL});
	free(where);
}

void witness_report(const struct target *targets, unsigned ntargets)
{
	for (unsigned i = 0; i < ntargets; i++) {
		if (targets[i].direct) {
			ask(targets[i].conninfo, "", activity);
			continue;
		}
		ask(targets[i].conninfo, " dbname=pgweir", "SHOW CLIENTS");
		ask(targets[i].conninfo, " dbname=pgweir", "SHOW SERVERS");
		ask(targets[i].conninfo, " dbname=pgweir", "SHOW COHERENCE");
	}
	run((char *[]){"timeout", "10", "sh", "-c", machine, NULL});
}
