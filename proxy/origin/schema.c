#include "proxy/origin/schema.h"

#include "protocol/hooks.h"
#include "protocol/keepers.h"
#include "proxy/origin/ending.h"
#include "proxy/origin/link.h"
#include "protocol/datum.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_USER_OID "16384" /* FirstNormalObjectId: what initdb made lies below */

/* Temporary objects are one session's own: making and dropping them must not look like a change for all. */
#define TEMP_SCHEMAS \
	"(SELECT oid FROM pg_namespace WHERE nspname LIKE 'pg\\_temp\\_%' OR nspname LIKE 'pg\\_toast\\_temp\\_%')"
/* What can be named in FROM, or used as a row type. */
#define VISIBLE "c.relkind IN ('r','p','v','m','f','c','S') AND c.relpersistence <> 't'"

#define FP(catalog, rows) \
	"(SELECT concat_ws('.', count(*), sum(hashtext(x.xmin::text))) FROM " #catalog " x WHERE " rows "),"
/* pg_class is told by values, so that TRUNCATE, VACUUM FULL or a new toast table (relfilenode, reltoastrelid, relpages) change
 * nothing. pg_roles is a view over pg_authid, which only a superuser may read. */
#define RELATIONS                                                                                                    \
	"(SELECT concat_ws('.', count(*), sum(hashtext(concat_ws(' ', c.oid, c.relname, c.relnamespace, c.relowner," \
	" c.relkind, c.relpersistence, c.relreplident, c.relnatts, c.relhasrules, c.relrowsecurity,"                 \
	" c.relforcerowsecurity, c.relispartition, c.relacl, c.reloptions)))) FROM pg_class c WHERE " VISIBLE        \
	"),"
#define FP_PUBLISHED \
	FP(pg_publication, "true") FP(pg_publication_rel, "true") FP(pg_publication_namespace, "true")
#define ROLES "(SELECT concat_ws('.', count(*), sum(hashtext(x::text))) FROM pg_roles x),"
#define DATABASE                                                                        \
	"(SELECT hashtext(concat_ws(' ', x.datdba, x.datacl))::text FROM pg_database x" \
	" WHERE x.datname = current_database())"
/* Values may come back to what they were between two looks (GRANT, REVOKE of a membership); how often rows were written does not. */
#define WRITTEN(f) "sum(pg_stat_get_tuples_" f "(c))"
#define TIMES                                                                                                                    \
	"(SELECT " WRITTEN("inserted") " + " WRITTEN("updated") " + " WRITTEN(                                                   \
		"deleted") " FROM unnest(ARRAY['pg_authid','pg_auth_members','pg_db_role_setting','pg_database','pg_namespace']" \
			   "::regclass[]) c),"
/* Behind the bar: what gives sessions their settings when they begin, and who they are: a role's name may have become another one's
 * (catalog_settings_fingerprint). New roles are no matter: signing up may make one. */
#define SETTINGS                                                                                             \
	"'|', extract(epoch FROM pg_conf_load_time()),"                                                      \
	"(SELECT concat_ws('.', pg_stat_get_tuples_updated(c), pg_stat_get_tuples_deleted(c)) FROM (VALUES " \
	"('pg_authid'::regclass)) v(c)),"                                                                    \
	"(SELECT concat_ws('.', count(*), sum(hashtext(x::text))) FROM pg_db_role_setting x)"
/* It reads all sources, and all that it depends on is in the fingerprint. */
#define CODE "concat_ws(' ', " HOOKS_SQL "," CUSTOMS_SQL "," READERS_SQL "," KEEPERS_SQL ")"
#define STATE_BEGIN "SELECT pg_current_snapshot()::text, " ENDING_SQL ", concat_ws(' '," RELATIONS
#define STATE_END ROLES DATABASE "," TIMES SETTINGS ")"

/* Replica identity, as far as it shows the old primary key: the default shows it only if the key is not deferrable; an index
 * shows it only if it is the primary key's own. What does not show it is reported as 'n' (nothing). */
#define IDENTITY                                                                                                \
	"CASE WHEN c.relreplident = 'f' THEN 'f' WHEN c.relreplident <> 'n' AND EXISTS (SELECT FROM pg_index i" \
	" WHERE i.indrelid = c.oid AND i.indisprimary AND i.indisvalid AND i.indimmediate"                      \
	" AND (c.relreplident = 'd' OR i.indisreplident)) THEN 'd' ELSE 'n' END"

/* A deterministic collation, or none at all: equality is that of the bytes. 100 is the database's own, always deterministic
 * up to PostgreSQL 18. Columns are needed only of tables that may be cached. */
/* clang-format off */
#define LOAD_BEGIN "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;"
#define UP \
	"WITH RECURSIVE up(relid, parent) AS (SELECT inhrelid, inhparent FROM pg_inherits" \
	" UNION SELECT u.relid, h.inhparent FROM up u JOIN pg_inherits h ON h.inhrelid = u.parent)"
/* Triggers of foreign keys that only look, and of deferrable unique keys, write nothing. Built-in functions are not recorded as
 * what a default or CHECK depends on. */
#define WRITES_ELSEWHERE \
	"c.oid IN (SELECT t.tgrelid FROM pg_trigger t JOIN pg_proc f ON f.oid = t.tgfoid WHERE t.tgenabled <> 'D'" \
	" AND NOT (t.tgisinternal AND f.pronamespace = 11 AND f.proname IN ('RI_FKey_check_ins','RI_FKey_check_upd','RI_FKey_noaction_del'," \
	"'RI_FKey_noaction_upd','RI_FKey_restrict_del','RI_FKey_restrict_upd','unique_key_recheck'))" \
	" UNION ALL SELECT a.adrelid FROM pg_depend d JOIN pg_attrdef a ON a.oid = d.objid" \
	" WHERE d.classid = 'pg_attrdef'::regclass AND d.refclassid = 'pg_proc'::regclass" \
	" UNION ALL SELECT k.conrelid FROM pg_depend d JOIN pg_constraint k ON k.oid = d.objid" \
	" WHERE d.classid = 'pg_constraint'::regclass AND d.refclassid = 'pg_proc'::regclass)"
/* Functions that run where no function is named: of casts, and of what operator classes compare and sort by. Those that are immutable and
 * in C or built in, as extensions have them, are as good as PostgreSQL's own. An index of another kind than btree and hash only finds what
 * an operator of the text finds, so there C is enough, and types of their own are no matter: pg_trgm's % is stable, PostGIS declares nothing
 * of its GiST functions and has operators in SQL for BRIN. */
#define ORDERS "(403, 405)" /* btree, hash */
#define USERS_FUNCTION "f.oid >= " FIRST_USER_OID " AND NOT (f.prolang IN (12, 13) AND f.provolatile = 'i')"
#define USERS_FUNCTION_IN(method) \
	"f.oid >= " FIRST_USER_OID " AND NOT (f.prolang IN (12, 13) AND (f.provolatile = 'i' OR " method " NOT IN " ORDERS "))"
#define CASTS \
	"EXISTS (SELECT FROM pg_cast x JOIN pg_proc f ON f.oid = x.castfunc WHERE " USERS_FUNCTION ")" \
	" OR EXISTS (SELECT FROM pg_amproc x JOIN pg_proc f ON f.oid = x.amproc JOIN pg_opfamily o ON o.oid = x.amprocfamily" \
	" WHERE " USERS_FUNCTION_IN("o.opfmethod") ")" \
	" OR EXISTS (SELECT FROM pg_amop x JOIN pg_operator o ON o.oid = x.amopopr JOIN pg_proc f ON f.oid = o.oprcode" \
	" WHERE " USERS_FUNCTION_IN("x.amopmethod") \
	" AND (x.amopmethod IN " ORDERS " OR x.amoplefttype < " FIRST_USER_OID " AND x.amoprighttype < " FIRST_USER_OID "))"

/* Whichever function, operator or type of a name is meant: is it immutable code in C? */
#define OWN_CODE(f) "coalesce(" f ".prolang IN (12, 13) AND " f ".provolatile = 'i', false)"
/* An enum, or a base type that is read and shown by such code; or an array of either. A domain's CHECK would be none. */
#define OWN_ELEMENT(t) \
	"(" t ".typtype = 'e' OR " t ".oid >= " FIRST_USER_OID " AND " t ".typtype = 'b' AND " t ".typcategory <> 'A' AND NOT EXISTS" \
	" (SELECT FROM pg_proc f WHERE f.oid IN (" t ".typinput, " t ".typreceive, " t ".typoutput, " t ".typsend)" \
	" AND (f.prolang NOT IN (12, 13) OR f.oid = " t ".typinput AND f.provolatile <> 'i')))"
#define OWN_TYPE(t) "(" OWN_ELEMENT(t) " OR EXISTS (SELECT FROM pg_type e WHERE e.typarray = " t ".oid AND " OWN_ELEMENT("e") "))"
#define USERS_TYPE(y) \
	"EXISTS (SELECT FROM pg_type y WHERE y.oid >= " FIRST_USER_OID " AND y.oid = " y " AND NOT " OWN_TYPE("y") ")"
#define TYPES \
	"SELECT t.typname, bool_and(" OWN_TYPE("t") ") FROM pg_type t" \
	" WHERE t.typnamespace <> 11 AND t.typnamespace NOT IN " TEMP_SCHEMAS " OR t.oid >= " FIRST_USER_OID " AND t.typnamespace = 11 GROUP BY 1;"
#define FUNCTIONS \
	"SELECT p.proname, bool_and(CASE p.prokind WHEN 'a' THEN NOT EXISTS (SELECT FROM pg_aggregate g JOIN pg_proc f ON f.oid IN" \
	" (g.aggtransfn, g.aggfinalfn, g.aggcombinefn, g.aggserialfn, g.aggdeserialfn, g.aggmtransfn, g.aggminvtransfn, g.aggmfinalfn)" \
	" WHERE g.aggfnoid = p.oid AND NOT " OWN_CODE("f") ") ELSE " OWN_CODE("p") " END" \
	" AND NOT EXISTS (SELECT FROM unnest(p.proargtypes) t WHERE " USERS_TYPE("t") "))" \
	" FROM pg_proc p WHERE p.pronamespace <> 11 OR p.oid >= " FIRST_USER_OID " GROUP BY 1;"
#define OPERATORS \
	"SELECT o.oprname, bool_and(" OWN_CODE("f") " AND NOT " USERS_TYPE("o.oprleft") " AND NOT " USERS_TYPE("o.oprright") ")" \
	" FROM pg_operator o LEFT JOIN pg_proc f ON f.oid = o.oprcode" \
	" WHERE o.oprnamespace <> 11 OR o.oid >= " FIRST_USER_OID " GROUP BY 1;"
/* May an = of users be meant between two built-in types? Its own types must be of users, and base types, and not what varchar becomes without
 * a cast in the text; other types whose = tells rows apart have one of their own with themselves, which comes first. */
#define MET_BY_BUILTIN(y) \
	"(" y " < " FIRST_USER_OID " OR EXISTS (SELECT FROM pg_type t WHERE t.oid = " y " AND (t.typtype <> 'b' OR t.typcategory = 'A'))" \
	" OR EXISTS (SELECT FROM pg_cast k WHERE k.casttarget = " y " AND k.castcontext = 'i' AND k.castsource = 1043))"
#define EQUAL \
	"EXISTS (SELECT FROM pg_operator o WHERE o.oprname = '=' AND (o.oprnamespace <> 11 OR o.oid >= " FIRST_USER_OID ")" \
	" AND (" MET_BY_BUILTIN("o.oprleft") " OR " MET_BY_BUILTIN("o.oprright") "))"

#define LOAD_SCHEMA \
	UP " SELECT c.oid, n.nspname, c.relname, c.relkind, c.relpersistence, " IDENTITY ", c.relrowsecurity," \
	" CASE c.relkind WHEN 'p' THEN c.oid IN (SELECT u.parent FROM up u JOIN pg_class x ON x.oid = u.relid" \
	" WHERE x.relkind NOT IN ('r','p') OR x.relpersistence <> 'p')" \
	" ELSE EXISTS (SELECT FROM pg_inherits h WHERE h.inhparent = c.oid) END, c.relhasrules," \
	" (SELECT count(*) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attgenerated <> '' AND NOT a.attisdropped)," \
	" " WRITES_ELSEWHERE \
	" FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace" \
	" WHERE c.relkind IN ('r','p','v','m','f','S') AND c.relpersistence <> 't' ORDER BY c.oid;" \
	"SELECT a.attrelid, a.attnum, a.attname, a.atttypid, t.typnamespace = 11," \
	" a.attcollation IN (0, 100) OR coalesce((SELECT collisdeterministic FROM pg_collation WHERE oid = a.attcollation), false)," \
	" a.attgenerated, " OWN_TYPE("t") \
	" FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_type t ON t.oid = a.atttypid" \
	" WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r','p') AND c.relpersistence <> 't'" \
	" AND c.oid >= " FIRST_USER_OID " ORDER BY 1, 2;" \
	"SELECT i.indrelid, i.indkey::text FROM pg_index i WHERE i.indisprimary AND i.indisvalid" \
	" AND i.indrelid >= " FIRST_USER_OID " ORDER BY 1;" \
	UP " SELECT relid, parent FROM up ORDER BY 1, 2;" \
	FUNCTIONS OPERATORS TYPES \
	"SELECT count(DISTINCT t.evtevent) = 3, " CODE ", " CASTS ", " EQUAL " FROM pg_event_trigger t JOIN pg_proc f ON f.oid = t.evtfoid" \
	" WHERE t.evtenabled = 'A' AND (t.evttags IS NULL AND t.evtevent IN ('ddl_command_end', 'sql_drop')" \
	" OR t.evtevent = 'ddl_command_start' AND coalesce('ALTER TABLE' = ANY (t.evttags), true))" \
	" AND f.prosrc LIKE '%pg_logical_emit_message(true, ''pgweir''%';"

/* What makes a table published, told by who wrote it last: the publication, its list, the table's place and its parents. Tables with
 * a row filter or a column list, their own or of a parent, are left out. */
#define OF_IT(relid) relid " = c.oid OR " relid " IN (SELECT parent FROM up WHERE up.relid = c.oid)"
#define PUBLISHED_AS \
	"concat_ws(' ', p.oid, p.xmin, c.xmin," \
	" (SELECT string_agg(concat_ws(':', r.oid, r.xmin), ',' ORDER BY r.oid) FROM pg_publication_rel r" \
	" WHERE r.prpubid = p.oid AND (" OF_IT("r.prrelid") "))," \
	" (SELECT string_agg(concat_ws(':', r.oid, r.xmin), ',' ORDER BY r.oid) FROM pg_publication_namespace r WHERE r.pnpubid = p.oid)," \
	" (SELECT string_agg(concat_ws(':', r.inhrelid, r.inhparent, r.xmin), ',' ORDER BY r.inhrelid, r.inhparent) FROM pg_inherits r" \
	" WHERE " OF_IT("r.inhrelid") "))"
#define LOAD_PUBLISHED \
	UP " SELECT p.pubname, 0::oid, CASE WHEN NOT (p.pubinsert AND p.pubupdate AND p.pubdelete AND p.pubtruncate)" \
	" THEN 'leaves changes out: set publish = ''insert, update, delete, truncate'''" \
	" WHEN p.pubviaroot THEN 'loses TRUNCATE of partitions: set publish_via_partition_root = false' ELSE '' END" \
	" FROM pg_publication p UNION ALL" \
	" SELECT p.pubname, c.oid, " PUBLISHED_AS \
	" FROM pg_publication p CROSS JOIN LATERAL pg_get_publication_tables(p.pubname::text) g" \
	" JOIN pg_class c ON c.oid = g.relid WHERE c.relkind = 'r' AND c.relpersistence = 'p'" \
	" AND NOT EXISTS (SELECT FROM pg_publication_rel r WHERE r.prpubid = p.oid AND (r.prqual IS NOT NULL OR r.prattrs IS NOT NULL)" \
	" AND (" OF_IT("r.prrelid") "));"

static const char check_sql[] =
	STATE_BEGIN
#include "proxy/origin/fingerprint.def"
	STATE_END;
static const char load_sql[] =
	LOAD_BEGIN STATE_BEGIN
#include "proxy/origin/fingerprint.def"
	STATE_END ";" LOAD_SCHEMA "SELECT ''::name, 0::oid, '' WHERE false; COMMIT";
static const char check_published_sql[] =
	STATE_BEGIN
#include "proxy/origin/fingerprint.def"
	FP_PUBLISHED STATE_END;
static const char load_published_sql[] =
	LOAD_BEGIN STATE_BEGIN
#include "proxy/origin/fingerprint.def"
	FP_PUBLISHED STATE_END ";" LOAD_SCHEMA LOAD_PUBLISHED "COMMIT";
/* clang-format on */

const struct schema_sql schema_sql = {.check = check_sql, .load = load_sql};
const struct schema_sql schema_sql_published = {.check = check_published_sql, .load = load_published_sql};

int schema_state(const PGresult *state, struct snapshot *snapshot_r, struct ending *ending_r,
		 const char **fingerprint_r, struct err *err)
{
	if (PQresultStatus(state) != PGRES_TUPLES_OK)
		return link_refused(state, "cannot read the catalog", err);
	if (PQntuples(state) != 1 || PQnfields(state) != 3)
		return err_set(err, "cannot read the catalog: unexpected answer");
	if (snapshot_parse(link_field(state, 0, 0), snapshot_r) != 0)
		return err_set(err, "cannot read the catalog: bad snapshot");
	if (ending_note(ending_r, PQgetvalue(state, 0, 1), snapshot_r) != 0) {
		snapshot_free(snapshot_r);
		return err_set(err, "cannot read the catalog: bad list of transactions");
	}
	*fingerprint_r = PQgetvalue(state, 0, 2);
	return 0;
}

static uint32_t oid_at(const PGresult *result, int row, int column)
{
	return (uint32_t)strtoul(PQgetvalue(result, row, column), NULL, 10);
}

static bool bool_at(const PGresult *result, int row, int column)
{
	return *PQgetvalue(result, row, column) == 't';
}

/* Results are sorted by relation; each part has a cursor that moves along. Moves it to `relid`'s rows and counts them. */
static int rows_of(const PGresult *part, int *at, uint32_t relid)
{
	int n = 0;

	while (*at < PQntuples(part) && oid_at(part, *at, 0) < relid)
		++*at;
	while (*at + n < PQntuples(part) && oid_at(part, *at + n, 0) == relid)
		n++;
	return n;
}

static int compare_attnum(const void *a, const void *b)
{
	return *(const int16_t *)a - *(const int16_t *)b;
}

/* int2vector: "2 1". Sorted, as readkey_row wants them. */
static uint16_t read_key(const char *text, int16_t *key_r)
{
	uint16_t n = 0;
	char *end;

	while (n < 32) {
		long attnum = strtol(text, &end, 10);

		if (end == text)
			break;
		key_r[n++] = (int16_t)attnum;
		text = end;
	}
	qsort(key_r, n, sizeof(*key_r), compare_attnum);
	return n;
}

struct schema_cursor {
	int column, key, ancestor;
};

static void fill_columns(const PGresult *part, int at, int n, struct catalog_column *columns)
{
	for (int i = 0; i < n; i++) {
		uint32_t type = oid_at(part, at + i, 3);
		char generated = *PQgetvalue(part, at + i, 6);

		columns[i] = (struct catalog_column){
			.attnum = (int16_t)atoi(PQgetvalue(part, at + i, 1)),
			.name = PQgetvalue(part, at + i, 2),
			.type_oid = type,
			.builtin_type = bool_at(part, at + i, 4),
			.plain_equality = datum_known(type) && bool_at(part, at + i, 5) && generated != 'v',
			.generated = generated,
			.own_code = bool_at(part, at + i, 7),
		};
	}
}

static int add_relation(struct catalog *catalog, PGresult *const *parts, const struct published *published,
			int row, struct schema_cursor *cursor)
{
	const PGresult *relations = parts[SCHEMA_RELATIONS];
	uint32_t oid = oid_at(relations, row, 0);
	int ncolumns = rows_of(parts[SCHEMA_COLUMNS], &cursor->column, oid);
	int nkeys = rows_of(parts[SCHEMA_KEYS], &cursor->key, oid);
	int nancestors = rows_of(parts[SCHEMA_ANCESTORS], &cursor->ancestor, oid);
	struct catalog_column *columns = calloc((size_t)ncolumns + 1, sizeof(*columns));
	uint32_t *ancestors = calloc((size_t)nancestors + 1, sizeof(*ancestors));
	int16_t key[32];
	int rc = -1;

	if (columns == NULL || ancestors == NULL)
		goto done;
	fill_columns(parts[SCHEMA_COLUMNS], cursor->column, ncolumns, columns);
	for (int i = 0; i < nancestors; i++)
		ancestors[i] = oid_at(parts[SCHEMA_ANCESTORS], cursor->ancestor + i, 1);
	rc = catalog_add_relation(
		catalog,
		&(struct catalog_relation){
			.oid = oid,
			.schema = PQgetvalue(relations, row, 1),
			.name = PQgetvalue(relations, row, 2),
			.kind = *PQgetvalue(relations, row, 3),
			.persistence = *PQgetvalue(relations, row, 4),
			.replica_identity = *PQgetvalue(relations, row, 5),
			.row_security = bool_at(relations, row, 6),
			.has_children = bool_at(relations, row, 7),
			.has_rules = bool_at(relations, row, 8),
			.not_fed = !published_has(published, oid, *PQgetvalue(relations, row, 3)),
			.ngenerated = (uint16_t)oid_at(relations, row, 9),
			.writes_elsewhere = bool_at(relations, row, 10),
			.ncolumns = (uint16_t)ncolumns,
			.columns = columns,
			.nkey = nkeys > 0 ? read_key(PQgetvalue(parts[SCHEMA_KEYS], cursor->key, 1), key) : 0,
			.key = key,
			.nancestors = (uint16_t)nancestors,
			.ancestors = ancestors,
		});
done:
	free(columns);
	free(ancestors);
	return rc;
}

static int fill_names(struct catalog *catalog, const PGresult *part,
		      int (*add)(struct catalog *, const char *, enum catalog_users))
{
	for (int i = 0; i < PQntuples(part); i++)
		if (add(catalog, PQgetvalue(part, i, 0),
			bool_at(part, i, 1) ? CATALOG_OWN_CODE : CATALOG_USERS_CODE) != 0)
			return -1;
	return 0;
}

static int fill(struct catalog *catalog, PGresult *const *parts, const struct published *published)
{
	struct schema_cursor cursor = {0};

	for (int i = 0; i < PQntuples(parts[SCHEMA_RELATIONS]); i++) {
		if (add_relation(catalog, parts, published, i, &cursor) != 0)
			return -1;
	}
	if (fill_names(catalog, parts[SCHEMA_FUNCTIONS], catalog_add_user_function) != 0 ||
	    fill_names(catalog, parts[SCHEMA_OPERATORS], catalog_add_user_operator) != 0 ||
	    fill_names(catalog, parts[SCHEMA_TYPES], catalog_add_user_type) != 0)
		return -1;
	catalog_set_strict(catalog, published->publication == NULL || (PQntuples(parts[SCHEMA_DDL]) == 1 &&
								       bool_at(parts[SCHEMA_DDL], 0, 0)));
	catalog_set_casts(catalog, PQntuples(parts[SCHEMA_DDL]) == 1 && bool_at(parts[SCHEMA_DDL], 0, 2));
	catalog_set_equal(catalog, PQntuples(parts[SCHEMA_DDL]) == 1 && bool_at(parts[SCHEMA_DDL], 0, 3));
	return catalog_set_fingerprint(catalog, PQgetvalue(parts[SCHEMA_STATE], 0, 2)) != 0
		       ? -1
		       : catalog_set_code(catalog, PQgetvalue(parts[SCHEMA_DDL], 0, 1));
}

struct catalog *schema_build(PGresult *const *parts, const struct published *published, struct err *err)
{
	static const int widths[SCHEMA_PARTS] = {3, 11, 8, 2, 2, 2, 2, 2, 4, 3};
	struct catalog *catalog;

	for (int i = 0; i < SCHEMA_PARTS; i++) {
		if (PQresultStatus(parts[i]) != PGRES_TUPLES_OK) {
			link_refused(parts[i], "cannot read the catalog", err);
			return NULL;
		}
		if (PQnfields(parts[i]) != widths[i]) {
			err_set(err, "cannot read the catalog: unexpected answer");
			return NULL;
		}
	}
	catalog = catalog_new();
	if (catalog == NULL || fill(catalog, parts, published) != 0) {
		err_set(err, "no memory for the catalog");
		catalog_unref(catalog);
		return NULL;
	}
	catalog_freeze(catalog);
	return catalog;
}
