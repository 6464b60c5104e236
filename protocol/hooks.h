/* hooks.h - can a statement of this database run code that its text does not show and that changes its session?
 * Source  docs/isolation.md: triggers, rules, defaults, views and functions may call set_config, take advisory locks, make temporary
 *         tables, ..
 * Shape   an SQL expression, 'on' or 'off'. 'off' is a proof: no function of a user, in a language whose source can be read, has a
 *         word of that kind in it, there are none in other languages but C, and no view, rule, default,
 *         policy, constraint or condition of a trigger calls such a built-in.
 * Owner   -
 * Thread  -
 * Errors  - */
#ifndef PROTOCOL_HOOKS_H
#define PROTOCOL_HOOKS_H

/* The first PostgreSQL that has all that is asked here (pg_get_function_sqlbody); an older one is refused. */
#define HOOKS_VERSION_MIN 14

#define HOOKS_WORDS                                                                                                                                           \
	"E'\\\\m(set_config|currval|lastval|pg_settings|execute|reset|discard|listen|unlisten|load|prepare|deallocate|temp|temporary|pg_temp|hold|call)\\\\M" \
	"|advisory|dblink|(^|;|/|\\n|\\\\m(begin|then|else|loop)\\\\M)\\\\s*set\\\\s'"
#define HOOKS_CALLS                                                              \
	"(SELECT ':funcid (' || pg_catalog.string_agg(b.oid::text, '|') || ') '" \
	" FROM pg_catalog.pg_proc b WHERE b.pronamespace = 11"                   \
	" AND (b.proname IN ('set_config', 'currval', 'lastval') OR b.proname LIKE 'pg%advisory%'))"
#define HOOKS_SQL                                                                                                                      \
	"CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace"                  \
	" JOIN pg_catalog.pg_language l ON l.oid = p.prolang WHERE p.oid >= 16384 AND n.nspname <> 'pgweir'"                           \
	" AND l.lanname NOT IN ('internal', 'c') AND (l.lanname NOT IN ('plpgsql', 'sql') OR"                                          \
	" pg_catalog.concat(p.prosrc, ' ', pg_catalog.pg_get_function_sqlbody(p.oid)) ~* (" HOOKS_WORDS                                \
	")))"                                                                                                                          \
	" OR EXISTS (SELECT FROM pg_catalog.pg_rewrite r WHERE r.oid >= 16384 AND r.ev_action::text ~ " HOOKS_CALLS                    \
	")"                                                                                                                            \
	" OR EXISTS (SELECT FROM pg_catalog.pg_attrdef d WHERE d.adbin::text ~ " HOOKS_CALLS ")"                                       \
	" OR EXISTS (SELECT FROM pg_catalog.pg_policy y WHERE pg_catalog.concat(y.polqual::text, y.polwithcheck::text) ~ " HOOKS_CALLS \
	")"                                                                                                                            \
	" OR EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.oid >= 16384 AND k.conbin::text ~ " HOOKS_CALLS                    \
	")"                                                                                                                            \
	" OR EXISTS (SELECT FROM pg_catalog.pg_trigger g WHERE g.tgqual::text ~ " HOOKS_CALLS ")"                                      \
	" THEN 'on' ELSE 'off' END"

/* The custom settings (app.x) that functions of users name where they set one, in one text, blanks between them. */
#define CUSTOMS_SQL                                                                                                 \
	"coalesce((SELECT pg_catalog.string_agg(DISTINCT pg_catalog.lower(m[1]), ' ') FROM"                         \
	" pg_catalog.pg_proc p JOIN pg_catalog.pg_language l ON l.oid = p.prolang CROSS JOIN LATERAL"               \
	" pg_catalog.regexp_matches(p.prosrc, E'(?:set_config\\\\s*\\\\(\\\\s*\'\'?|\\\\mset\\\\s+(?:session\\\\s+" \
	"|local\\\\s+)?)([a-z_][a-z0-9_$]*(?:\\\\.[a-z_][a-z0-9_$]*)+)', 'gi') m"                                   \
	" WHERE p.oid >= 16384 AND l.lanname NOT IN ('internal', 'c')), '')"

/* Where the custom settings are read: word=name .., blanks between them. The word is a function of users that reads it, or a table with a policy
 * that does so, or calls such a function. */
#define READERS_NAME \
	"E'current_setting\\\\s*\\\\(\\\\s*\'\'*([a-z_][a-z0-9_$]*(?:\\\\.[a-z_][a-z0-9_$]*)+)', 'gi'"
#define READERS_BODY \
	"CASE WHEN p.prosqlbody IS NULL THEN p.prosrc ELSE pg_catalog.pg_get_function_sqlbody(p.oid) END"
#define READERS_FUNCTION "p.oid >= 16384 AND (p.prosrc ILIKE '%current_setting%' OR p.prosqlbody IS NOT NULL)"
#define READERS_SQL                                                                                                             \
	"coalesce((SELECT pg_catalog.string_agg(DISTINCT pg_catalog.concat(w.word, '=', pg_catalog.lower(w.name)), ' ') FROM (" \
	"SELECT p.proname::text AS word, m[1] AS name FROM pg_catalog.pg_proc p CROSS JOIN LATERAL"                             \
	" pg_catalog.regexp_matches(" READERS_BODY ", " READERS_NAME ") m WHERE " READERS_FUNCTION                              \
	" UNION ALL SELECT c.relname::text, m[1] FROM pg_catalog.pg_policy y JOIN pg_catalog.pg_class c ON c.oid = y.polrelid"  \
	" CROSS JOIN LATERAL pg_catalog.regexp_matches(pg_catalog.concat(pg_catalog.pg_get_expr(y.polqual, y.polrelid), ' ',"   \
	" pg_catalog.pg_get_expr(y.polwithcheck, y.polrelid)), " READERS_NAME ") m"                                             \
	" UNION ALL SELECT c.relname::text, m[1] FROM pg_catalog.pg_policy y JOIN pg_catalog.pg_class c ON c.oid = y.polrelid"  \
	" JOIN pg_catalog.pg_proc p ON " READERS_FUNCTION                                                                       \
	" AND pg_catalog.strpos(pg_catalog.concat(y.polqual::text,"                                                             \
	" y.polwithcheck::text), pg_catalog.concat(':funcid ', p.oid, ' ')) > 0 CROSS JOIN LATERAL"                             \
	" pg_catalog.regexp_matches(" READERS_BODY ", " READERS_NAME                                                            \
	") m) w WHERE w.word ~ '^[A-Za-z_][A-Za-z0-9_$]*$'), '')"

/* Which code there is: changes whenever one of the three above, or KEEPERS_SQL, may. Cheap, as it looks at who wrote the rows last and reads no source. Rows that
 * are gone do not come back under the same number and writer, so equal means that the answers are the same. */
#define CODE_ROWS(catalog)                                                                                   \
	"(SELECT pg_catalog.concat_ws('.', pg_catalog.count(*), pg_catalog.sum(pg_catalog.hashtextextended(" \
	"pg_catalog.concat(x.oid, ' ', x.xmin), 0))) FROM pg_catalog." #catalog " x)"
/* clang-format off */
/* What keepers.h looks at besides, where there is what may keep something; NULL elsewhere. Names are those of now. */
#define CODE_KEEPERS \
	"(SELECT CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_language l ON l.oid = p.prolang WHERE p.oid >= 16384" \
	" AND (l.lanname NOT IN ('internal', 'c', 'sql', 'plpgsql') OR p.prosrc = 'dblink_connect')) THEN pg_catalog.concat_ws(' '," \
	" (SELECT pg_catalog.concat_ws('.', pg_catalog.count(*), pg_catalog.sum(pg_catalog.hashtextextended(pg_catalog.concat(c.oid, ' ', c.relname), 0)))" \
	" FROM pg_catalog.pg_class c WHERE c.oid >= 16384 AND c.relpersistence <> 't')," \
	" (SELECT pg_catalog.concat_ws('.', pg_catalog.count(*), pg_catalog.sum(pg_catalog.hashtextextended(pg_catalog.concat(h.inhrelid, ' ', h.inhparent), 0)))" \
	" FROM pg_catalog.pg_inherits h)," \
	CODE_ROWS(pg_operator) "," CODE_ROWS(pg_cast) "," CODE_ROWS(pg_amproc) "," CODE_ROWS(pg_event_trigger) ") END)"
#define CODE_SQL \
	"pg_catalog.md5(pg_catalog.concat_ws(' '," \
	" (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())," \
	CODE_ROWS(pg_proc) "," CODE_ROWS(pg_language) "," CODE_ROWS(pg_rewrite) "," CODE_ROWS(pg_attrdef) "," \
	CODE_ROWS(pg_policy) "," CODE_ROWS(pg_constraint) "," CODE_ROWS(pg_trigger) "," CODE_KEEPERS "," \
	" (SELECT n.oid FROM pg_catalog.pg_namespace n WHERE n.nspname = 'pgweir')," \
	" (SELECT pg_catalog.string_agg(pg_catalog.concat(c.oid, ' ', c.relname), ' ' ORDER BY c.oid)" \
	" FROM pg_catalog.pg_class c WHERE c.oid IN (SELECT y.polrelid FROM pg_catalog.pg_policy y))))"
/* clang-format on */

#endif
