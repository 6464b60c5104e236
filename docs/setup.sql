-- What pgweir likes to find in each database that it caches. Run it as a superuser, once per database.
-- It is optional: without it, changes of tables and rights are noticed by polling (option catalog_poll).
--
-- An event trigger writes a message into the write-ahead log for everything that changes the schema or the
-- rights. pgweir reads it in commit order with the row changes and forgets what it knew about the objects.
CREATE SCHEMA IF NOT EXISTS pgweir;
GRANT USAGE ON SCHEMA pgweir TO PUBLIC;

-- SECURITY DEFINER: whoever runs DDL needs no rights on pg_logical_emit_message. The search_path is fixed, so
-- that nobody can slip another function in. concat_ws, because object_identity is NULL for GRANT and REVOKE
-- and NULL would make the whole message vanish; the tag is always there.
CREATE OR REPLACE FUNCTION pgweir.note_ddl() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	objects text := '';
BEGIN
	IF pg_is_in_recovery() THEN
		RETURN;
	END IF;
	-- ALTER TABLE .. DETACH PARTITION .. CONCURRENTLY commits twice. The events below come with the second commit, but who reads the
	-- table misses the partition from the first one on.
	IF tg_event = 'ddl_command_start' THEN
		IF current_query() ~* 'concurrently' THEN
			PERFORM pg_logical_emit_message(true, 'pgweir', concat_ws(' ', 'ddl', tg_tag));
		END IF;
		RETURN;
	END IF;
	-- Temporary objects are nobody else's business: no message, so that they do not cost the cache anything.
	IF tg_event = 'sql_drop' THEN
		IF NOT EXISTS (SELECT 1 FROM pg_event_trigger_dropped_objects() WHERE NOT is_temporary) THEN
			RETURN;
		END IF;
		SELECT string_agg(concat_ws(' ', object_type, object_identity), ', ') INTO objects
		FROM pg_event_trigger_dropped_objects() WHERE NOT is_temporary;
	ELSE
		IF EXISTS (SELECT 1 FROM pg_event_trigger_ddl_commands())
		   AND NOT EXISTS (SELECT 1 FROM pg_event_trigger_ddl_commands() WHERE schema_name IS DISTINCT FROM 'pg_temp') THEN
			RETURN;
		END IF;
		SELECT string_agg(concat_ws(' ', object_type, object_identity), ', ') INTO objects
		FROM pg_event_trigger_ddl_commands();
	END IF;
	PERFORM pg_logical_emit_message(true, 'pgweir', left(concat_ws(' ', 'ddl', tg_tag, objects), 8000));
END
$$;
REVOKE ALL ON FUNCTION pgweir.note_ddl() FROM PUBLIC;

DROP EVENT TRIGGER IF EXISTS pgweir_ddl;
CREATE EVENT TRIGGER pgweir_ddl ON ddl_command_end EXECUTE FUNCTION pgweir.note_ddl();
DROP EVENT TRIGGER IF EXISTS pgweir_drop;
CREATE EVENT TRIGGER pgweir_drop ON sql_drop EXECUTE FUNCTION pgweir.note_ddl();
DROP EVENT TRIGGER IF EXISTS pgweir_detach;
CREATE EVENT TRIGGER pgweir_detach ON ddl_command_start WHEN tag IN ('ALTER TABLE') EXECUTE FUNCTION pgweir.note_ddl();
-- ALWAYS: also when session_replication_role is replica, as in restores and logical replication.
ALTER EVENT TRIGGER pgweir_ddl ENABLE ALWAYS;
ALTER EVENT TRIGGER pgweir_drop ENABLE ALWAYS;
ALTER EVENT TRIGGER pgweir_detach ENABLE ALWAYS;

-- Only for feed_plugin = pgoutput, which also needs the event trigger above to serve as strict: the tables that may be cached. Each
-- needs a primary key or another replica identity: without one PostgreSQL would refuse UPDATE and DELETE of it. So never FOR ALL
-- TABLES. Column lists and row filters keep a table out of the cache.
--   CREATE PUBLICATION pgweir FOR TABLE customer, orders WITH (publish = 'insert, update, delete, truncate');
--   ALTER PUBLICATION pgweir ADD TABLE invoice;   -- counts when all transactions of that moment have ended
