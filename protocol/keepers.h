/* keepers.h - what code of this database keeps something in the server process, where no DISCARD reaches it?
 * Source  PostgreSQL manual, "PL/Perl: Global Values in PL/Perl" (%_SHARED), "PL/Python: Sharing Data" (SD, GD), "PL/Tcl: Global Data in PL/Tcl"
 *         (GD); "dblink_connect": its connections are the session's; "Backup Control Functions", "Replication Management Functions".
 * Shape   an SQL expression: words, blanks between them. A statement that may run such code has one of them in its text: the name of a
 *         function of that kind, of a function or a view that mentions one of the words, or of a table whose policies do; with a + in front, where
 *         only writes run it, of a table whose triggers, defaults, constraints or indexes mention one, or whose rows go with one by a foreign key
 *         or a partition. '*' = no word tells: an operator, a cast, a type or an event trigger runs it, a name is not plain, or they are too
 *         many. Functions in SQL and PL/pgSQL keep nothing but what built-in functions do; those in Perl, Python and Tcl do where their source has
 *         a word for it (or a variable that nothing declares); those in other languages always.
 * Owner   -
 * Thread  -
 * Errors  - */
#ifndef PROTOCOL_KEEPERS_H
#define PROTOCOL_KEEPERS_H

/* Attributes of modules, and their items, are assigned to, too. */
#define KEEPERS_PYTHON \
	"p.prosrc ~ E'\\\\m(GD|SD|global|globals|setattr)\\\\M|[])[:alnum:]_][.][[:alnum:]_]+(\\\\[[^]]*\\\\])*[[:blank:]]*[-+*/%&|^]*=[^=]'"
#define KEEPERS_TCL \
	"p.prosrc ~ E'\\\\m(GD|global|upvar|uplevel|variable|namespace|proc|interp|rename)\\\\M|::'"
#define KEEPERS_PERL                                                                                                                  \
	"(p.prosrc ~ E'\\\\m(our|local|state|vars|sub)\\\\M|::|[$][^[:alnum:]_{$[:space:]][[:space:]]*=[^=~]' OR EXISTS (SELECT FROM" \
	" pg_catalog.regexp_matches(p.prosrc, E'[$@%][#{$]*([A-Za-z_][A-Za-z0-9_]*)', 'g') m"                                         \
	" WHERE m[1] NOT IN ('_', '_TD', 'a', 'b') AND p.prosrc !~ (E'\\\\mmy\\\\M[^;]*[$@%]' || m[1] || E'\\\\M')))"
/* What built-in functions leave: a backup under way, a replication origin, slots that are temporary. */
#define KEEPERS_PLAIN                                                                     \
	"pg_catalog.concat(p.prosrc, ' ', pg_catalog.pg_get_function_sqlbody(p.oid)) ~* " \
	"'pg_(backup_start|start_backup|replication_origin_session_setup|(create|copy)_(logical|physical)_replication_slot)'"
#define KEEPERS_BASE                                                                                                                  \
	"SELECT p.proname::text, false FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_language l ON l.oid = p.prolang"                  \
	" WHERE p.oid >= 16384 AND CASE WHEN l.lanname = 'internal' THEN false WHEN l.lanname = 'c' THEN p.prosrc = 'dblink_connect'" \
	" WHEN l.lanname IN ('sql', 'plpgsql') THEN " KEEPERS_PLAIN                                                                   \
	" WHEN l.lanname IN ('plperl', 'plperlu') THEN " KEEPERS_PERL                                                                 \
	" WHEN l.lanname IN ('pltcl', 'pltclu') THEN " KEEPERS_TCL                                                                    \
	" WHEN l.lanname LIKE 'plpython%' THEN " KEEPERS_PYTHON " ELSE true END"
#define KEEPERS_NAME(relation) \
	"(SELECT c.relname::text FROM pg_catalog.pg_class c WHERE c.oid = " relation ")"
#define KEEPERS_HAS(text) "(" text ") ~* (E'\\\\m' || k.word || E'\\\\M')"
/* clang-format off */
#define KEEPERS_STEP \
	"SELECT u.word, u.write FROM k CROSS JOIN LATERAL (" \
	"SELECT p.proname::text AS word, false AS write FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_language l ON l.oid = p.prolang" \
	" WHERE p.oid >= 16384 AND l.lanname NOT IN ('internal', 'c') AND p.prokind <> 'a' AND " \
	KEEPERS_HAS("pg_catalog.concat(p.prosrc, ' ', pg_catalog.pg_get_function_sqlbody(p.oid))") \
	" UNION ALL SELECT p.proname::text, false FROM pg_catalog.pg_aggregate a JOIN pg_catalog.pg_proc p ON p.oid = a.aggfnoid" \
	" WHERE EXISTS (SELECT FROM pg_catalog.pg_proc f WHERE f.proname = k.word AND f.oid IN (a.aggtransfn, a.aggfinalfn, a.aggcombinefn," \
	" a.aggserialfn, a.aggdeserialfn, a.aggmtransfn, a.aggminvtransfn, a.aggmfinalfn))" \
	" UNION ALL SELECT " KEEPERS_NAME("r.ev_class") ", k.write OR r.ev_type <> '1' FROM pg_catalog.pg_rewrite r" \
	" WHERE r.oid >= 16384 AND " KEEPERS_HAS("pg_catalog.pg_get_ruledef(r.oid)") \
	" UNION ALL SELECT " KEEPERS_NAME("y.polrelid") ", false FROM pg_catalog.pg_policy y WHERE " \
	KEEPERS_HAS("pg_catalog.concat(pg_catalog.pg_get_expr(y.polqual, y.polrelid), ' ', pg_catalog.pg_get_expr(y.polwithcheck, y.polrelid))") \
	" UNION ALL SELECT " KEEPERS_NAME("h.inhparent") ", k.write FROM pg_catalog.pg_inherits h WHERE " KEEPERS_NAME("h.inhrelid") " = k.word" \
	" UNION ALL SELECT " KEEPERS_NAME("t.tgrelid") ", true FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_proc f ON f.oid = t.tgfoid" \
	" WHERE NOT t.tgisinternal AND (f.proname = k.word OR " KEEPERS_HAS("coalesce(pg_catalog.pg_get_expr(t.tgqual, t.tgrelid), '')") ")" \
	" UNION ALL SELECT " KEEPERS_NAME("d.adrelid") ", true FROM pg_catalog.pg_attrdef d WHERE " \
	KEEPERS_HAS("pg_catalog.pg_get_expr(d.adbin, d.adrelid)") \
	" UNION ALL SELECT CASE WHEN n.conrelid = 0 THEN '*' ELSE " KEEPERS_NAME("n.conrelid") " END, true FROM pg_catalog.pg_constraint n" \
	" WHERE n.contype = 'c' AND " KEEPERS_HAS("pg_catalog.pg_get_constraintdef(n.oid)") \
	" UNION ALL SELECT " KEEPERS_NAME("n.confrelid") ", true FROM pg_catalog.pg_constraint n" \
	" WHERE n.contype = 'f' AND k.write AND " KEEPERS_NAME("n.conrelid") " = k.word" \
	" UNION ALL SELECT " KEEPERS_NAME("i.indrelid") ", true FROM pg_catalog.pg_index i WHERE i.indexrelid >= 16384" \
	" AND (i.indexprs IS NOT NULL OR i.indpred IS NOT NULL) AND " KEEPERS_HAS("pg_catalog.pg_get_indexdef(i.indexrelid)") \
	" UNION ALL SELECT '*', false FROM pg_catalog.pg_proc f WHERE f.proname = k.word AND (" \
	"EXISTS (SELECT FROM pg_catalog.pg_operator o WHERE f.oid IN (o.oprcode, o.oprrest, o.oprjoin))" \
	" OR EXISTS (SELECT FROM pg_catalog.pg_cast c WHERE c.castfunc = f.oid)" \
	" OR EXISTS (SELECT FROM pg_catalog.pg_amproc o WHERE o.amproc = f.oid)" \
	" OR EXISTS (SELECT FROM pg_catalog.pg_type y WHERE f.oid IN (y.typinput, y.typoutput, y.typreceive, y.typsend, y.typmodin, y.typmodout))" \
	" OR EXISTS (SELECT FROM pg_catalog.pg_range g WHERE f.oid IN (g.rngcanonical, g.rngsubdiff))" \
	" OR EXISTS (SELECT FROM pg_catalog.pg_event_trigger e WHERE e.evtfoid = f.oid))" \
	") u WHERE k.word ~ '^[a-z_][a-z0-9_]*$'"
/* clang-format on */
#define KEEPERS_SQL                                                                                                                           \
	"coalesce((WITH RECURSIVE k(word, write) AS (" KEEPERS_BASE " UNION " KEEPERS_STEP                                                    \
	") SELECT CASE WHEN pg_catalog.bool_or(k.word !~ '^[a-z_][a-z0-9_]*$') OR pg_catalog.sum(pg_catalog.length(k.word)) > 30000 THEN '*'" \
	" ELSE pg_catalog.string_agg(CASE WHEN k.write THEN '+' ELSE '' END || k.word, ' ' ORDER BY k.word, k.write) END FROM k), '')"

#endif
