/* Code that keeps something in the server process, as PL/Perl's %_SHARED: who runs it keeps the backend to the end, and it is closed behind
 * that (protocol/keepers.h). */
#include "proxy/session/session_private.h"

#include "proxy/backend/custom_names.h"

/* Built-in functions that leave something, also in a DO: a backup under way, a replication origin, slots that are temporary. */
static const char *const built_in[] = {
	"pg_backup_start",
	"pg_start_backup",
	"pg_replication_origin_session_setup",
	"pg_create_physical_replication_slot",
	"pg_create_logical_replication_slot",
	"pg_copy_physical_replication_slot",
	"pg_copy_logical_replication_slot",
};

static bool meets_built_in(struct span text)
{
	for (size_t i = 0; i < sizeof built_in / sizeof *built_in; i++)
		if (custom_name_mentioned(text, built_in[i], strlen(built_in[i])))
			return true;
	return false;
}

static const char *words(const struct session *s)
{
	const char *found = settings_get(&s->backend->defaults, "keepers");

	return found != NULL ? found : "";
}

bool keepers_known(const struct session *s)
{
	return words(s)[0] != '\0';
}

bool keepers_met(const struct session *s, const struct stmt *stmt)
{
	bool writes = (stmt->facts->effects & EFFECT_WRITES) != 0;
	const char *at = words(s);

	if (*at != '\0' && memmem(stmt->text.p, stmt->text.n, "&\"", 2) != NULL)
		return true; /* U&"..": a name may be written in another way */
	while (*at != '\0') {
		bool of_writes = *at == '+';
		size_t n = strcspn(at + of_writes, " ");

		at += of_writes;
		if (*at == '*' || ((writes || !of_writes) && custom_name_mentioned(stmt->text, at, n)))
			return true;
		at += n + (at[n] == ' ');
	}
	return meets_built_in(stmt->text);
}
