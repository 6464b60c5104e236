#!/bin/sh
# builtins.sh - writes builtins.def from the catalogs of a PostgreSQL 15: `PGHOST=.. PGUSER=.. sh builtins.sh > builtins.def`.
# A name counts by its worst overload: one volatile overload makes the name volatile. What is volatile and not
# listed here as harmless is UNSAFE, so a function that a new version brings is UNSAFE until somebody reads it.
set -eu

exec psql -X -q -A -t -v ON_ERROR_STOP=1 -d "${PGDATABASE:-postgres}" <<'SQL'
SELECT '/* Made by builtins.sh from PostgreSQL ' || current_setting('server_version_num')::int / 10000
	|| '; do not edit. Every block is sorted by strcmp. */';

-- Stable, but only through settings of the session, all of which a cache key holds.
CREATE TEMP TABLE by_settings AS SELECT unnest(string_to_array(
	'array_to_json array_to_string concat concat_ws date_part date_trunc extract format json_agg '
	'json_build_array json_build_object json_object_agg jsonb_agg jsonb_build_array jsonb_build_object '
	'jsonb_object_agg make_timestamptz overlaps quote_literal quote_nullable to_char to_date to_json to_jsonb '
	'to_timestamp', ' ')) AS name;
-- Volatile, but without any effect.
CREATE TEMP TABLE no_effect AS SELECT unnest(string_to_array(
	'clock_timestamp current_query gen_random_uuid pg_blocking_pids pg_collation_actual_version '
	'pg_control_checkpoint pg_control_init pg_control_recovery pg_control_system pg_current_logfile '
	'pg_current_wal_flush_lsn pg_current_wal_insert_lsn pg_current_wal_lsn '
	'pg_database_collation_actual_version pg_database_size pg_indexes_size pg_is_in_recovery '
	'pg_is_wal_replay_paused pg_jit_available pg_last_committed_xact pg_last_wal_receive_lsn '
	'pg_last_wal_replay_lsn pg_last_xact_replay_timestamp pg_lock_status pg_notification_queue_usage '
	'pg_partition_ancestors pg_partition_tree pg_prepared_xact pg_relation_size pg_sequence_last_value '
	'pg_show_all_file_settings pg_show_replication_origin_status pg_sleep pg_sleep_for pg_sleep_until '
	'pg_table_size pg_tablespace_size pg_total_relation_size pg_xact_commit_timestamp '
	'pg_xact_commit_timestamp_origin pg_xact_status random timeofday txid_status', ' ')) AS name
	UNION SELECT proname::text FROM pg_proc WHERE proname LIKE 'pg\_stat\_get\_%';
-- Not volatile by their label, but they write or run text as SQL, or depend on catalogs or files.
CREATE TEMP TABLE mislabelled(name, class) AS VALUES
	('txid_current', 'WRITES'), ('pg_current_xact_id', 'WRITES'),
	('satisfies_hash_partition', 'STABLE'), ('ts_lexize', 'STABLE'), ('ts_parse', 'STABLE'),
	('ts_token_type', 'STABLE'), ('ts_headline', 'STABLE'), ('pg_partition_root', 'STABLE');
INSERT INTO mislabelled SELECT DISTINCT proname::text, 'STABLE' FROM pg_proc
	WHERE pronamespace = 'pg_catalog'::regnamespace AND 'aclitem'::regtype = ANY (proargtypes) AND provolatile <> 'v';
-- A time of day is cast to timetz unasked, with today's offset.
INSERT INTO mislabelled SELECT DISTINCT proname::text, 'STABLE' FROM pg_proc p
	WHERE pronamespace = 'pg_catalog'::regnamespace AND 'timetz'::regtype = ANY (proargtypes) AND provolatile <> 'v'
	AND NOT EXISTS (SELECT FROM pg_proc q WHERE q.proname = p.proname AND 'time'::regtype = ANY (q.proargtypes));
INSERT INTO mislabelled SELECT DISTINCT proname::text, 'UNSAFE' FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace
	AND proname ~ '^(table|query|schema|database|cursor)_to_xml|^ts_(stat|rewrite)$|^dblink|^binary_upgrade|^lo_|^pg_(read|ls)_';
INSERT INTO mislabelled SELECT DISTINCT proname::text, 'WRITES' FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace
	AND proname ~ '^(lo_.*|loread|lowrite|pg_notify|pg_logical_emit_message|pg_switch_wal|pg_create_restore_point|pg_log_backend_memory_contexts)$';
DELETE FROM mislabelled a USING mislabelled b WHERE a.name = b.name AND a.class = 'UNSAFE' AND b.class = 'WRITES';
-- What reads a text as a type that is given by its OID or by a value of it: that of a user may have a domain in it, whose CHECK may
-- call anything. The input of other types looks up catalogs at most, and json_to_record has its types spelled out.
INSERT INTO mislabelled SELECT DISTINCT proname::text, 'INPUT' FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace
	AND proname ~ '^(domain|record|(any|anycompatible)?(array|range|multirange))_(in|recv)$|^jsonb?_populate_record(set)?$';
-- A function named like a type is also that type's cast in functional notation; a cast from text may read the clock.
INSERT INTO mislabelled SELECT DISTINCT t.typname::text, 'STABLE' FROM pg_type t JOIN pg_proc p ON p.proname = t.typname
	AND p.pronamespace = t.typnamespace WHERE t.typnamespace = 'pg_catalog'::regnamespace AND p.provolatile <> 'v'
	AND (t.typcategory IN ('D', 'R') OR t.typname ~ '^(reg|aclitem|xml)' OR t.typname ~ 'multirange$');

WITH f AS (
	SELECT p.proname::text AS name, bool_and(p.provolatile = 'i') AS i, bool_and(p.provolatile IN ('i', 's')) AS s
	FROM pg_proc p WHERE p.pronamespace = 'pg_catalog'::regnamespace GROUP BY 1
	UNION SELECT 'coalesce', true, true WHERE false)
SELECT format('FUNCTION(%s, %s)', '"' || name || '"', CASE
	WHEN name IN ('nextval', 'setval', 'currval', 'lastval') THEN 'SEQUENCE'
	WHEN name ~ '^pg_(try_)?advisory_xact' THEN 'XACT_LOCK'
	WHEN name ~ '^pg_(try_)?advisory' THEN 'ADVISORY'
	WHEN name = 'set_config' THEN 'SETTING'
	WHEN name IN (SELECT m.name FROM mislabelled m) THEN (SELECT min(m.class) FROM mislabelled m WHERE m.name = f.name)
	WHEN name IN (SELECT n.name FROM by_settings n) AND s THEN 'SETTINGS'
	WHEN i THEN 'IMMUTABLE' WHEN s THEN 'STABLE'
	WHEN name IN (SELECT n.name FROM no_effect n) THEN 'VOLATILE'
	ELSE 'UNSAFE' END) FROM f ORDER BY name COLLATE "C";

SELECT format('OPERATOR("%s", %s)', o.oprname, CASE
	WHEN o.oprname IN ('@@', '@@@') THEN 'STABLE' -- through text search configurations, which are catalog objects
	WHEN bool_and(p.provolatile = 'i') THEN 'IMMUTABLE'
	WHEN bool_and(p.provolatile = 'i' OR p.proname ~ 'timestamp|^textanycat$|^anytextcat$') THEN 'SETTINGS'
	ELSE 'UNSAFE' END)
FROM pg_operator o JOIN pg_proc p ON p.oid = o.oprcode
WHERE o.oprnamespace = 'pg_catalog'::regnamespace GROUP BY o.oprname ORDER BY o.oprname COLLATE "C";

-- Types: PLAIN (input and output are functions of the value and of settings), CLOCK (its input knows 'now'),
-- OTHER (depends on catalogs, or is no type for a column).
SELECT format('TYPE("%s", %s, %s, %s, %s)', t.typname, t.oid, coalesce(e.oid, 0), t.typarray, CASE
	WHEN b.typname IN ('bool', 'bytea', 'char', 'name', 'int8', 'int2', 'int4', 'text', 'oid', 'json', 'float4',
		'float8', 'varchar', 'bpchar', 'numeric', 'bit', 'varbit', 'uuid', 'jsonb', 'inet', 'cidr', 'macaddr',
		'macaddr8', 'point', 'line', 'lseg', 'box', 'path', 'polygon', 'circle', 'tsvector', 'tsquery',
		'interval', 'money', 'pg_lsn', 'int4range', 'int8range', 'numrange', 'int4multirange',
		'int8multirange', 'nummultirange', 'jsonpath') THEN 'PLAIN'
	WHEN b.typname IN ('date', 'time', 'timestamp', 'timestamptz', 'daterange', 'tsrange', 'tstzrange',
		'datemultirange', 'tsmultirange', 'tstzmultirange') THEN 'CLOCK'
	ELSE 'OTHER' END)
FROM pg_type t LEFT JOIN pg_type e ON e.oid = t.typelem AND e.typarray = t.oid
	JOIN pg_type b ON b.oid = coalesce(e.oid, t.oid)
WHERE t.typnamespace = 'pg_catalog'::regnamespace AND t.typtype IN ('b', 'r', 'm', 'p') AND t.oid < 16384
	AND NOT EXISTS (SELECT FROM pg_class c WHERE c.reltype = coalesce(e.oid, t.oid))
ORDER BY t.typname COLLATE "C";

SELECT format('SYSTEM_RELATION("%s")', relname) FROM pg_class
WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind IN ('r', 'v') ORDER BY relname COLLATE "C";
SQL
