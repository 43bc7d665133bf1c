-- Database triggers: a change to a table invokes a function after COMMIT.
--
-- Operator: the triggers themselves are made by runnel.create_trigger, which takes
-- SHARE ROW EXCLUSIVE on the table (writers wait while it is made); replacing or
-- dropping one takes ACCESS EXCLUSIVE.
--
-- create_trigger and drop_trigger run with the rights of whoever calls them, so
-- Postgres itself checks who may put a trigger on a table. A condition is one
-- expression and nothing more: who sends one over HTTP is not the database's owner,
-- though it is the owner's connection that makes the trigger. To let a role use them:
--   GRANT USAGE ON SCHEMA runnel TO app;
--   GRANT EXECUTE ON FUNCTION runnel.create_trigger, runnel.drop_trigger, runnel.prepare_trigger,
--     runnel.trigger_name, runnel.is_pure, runnel.on_change_rows, runnel.on_change_row TO app;
-- Writers to the table need nothing.
--
-- There is no table of triggers. The view runnel.triggers reads Postgres's own
-- catalog, so it cannot disagree with it: a dropped table, pg_restore or a DROP
-- TRIGGER by hand leaves nothing behind.

-- runnel_<function>_<operation>, shortened where Postgres would cut it off.
CREATE OR REPLACE FUNCTION runnel.trigger_name(function text, operation text) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN octet_length(function) <= 47 THEN format('runnel_%s_%s', function, lower(operation))
         ELSE format('runnel_%s_%s_%s', left(function, 38), left(md5(function), 8), lower(operation)) END
$$;

-- The part of create_trigger and drop_trigger that reads this schema: answers
-- the function's id and refuses a table (null: none) whose rows the owner of
-- this schema must not read.
CREATE OR REPLACE FUNCTION runnel.prepare_trigger(target regclass, function text) RETURNS uuid
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  reason text := runnel.foreign_type(target);
BEGIN
  IF reason IS NOT NULL THEN
    RAISE EXCEPTION 'cannot put a trigger on %: %', target, reason
      USING ERRCODE = '42501', HINT = format('Its cast to json would run with the rights of %I. Change the type''s owner (ALTER TYPE ... OWNER TO) to that role or to one of its members, or use a type of Postgres.', current_user);
  END IF;
  RETURN (runnel.find_function(function)).id;
END $$;

-- Invokes a function for every change of a table, once its transaction has
-- committed. Answers the common part of the triggers' names.
--
-- granularity: 'row' and 'auto' make one job for each changed row, 'statement'
-- one for at most 100 rows of one statement. condition: as in CREATE TRIGGER ...
-- WHEN, over OLD and NEW (but not their system columns); it is evaluated as the
-- writer, for each row. Where an ordinary table's condition is pure (runnel.is_pure),
-- a second trigger for each operation takes the statements of many rows: see
-- on_change_rows.
-- Doing it again for the same table and function replaces what was there. Do it
-- again when an ordinary table has become a partition.
CREATE OR REPLACE FUNCTION runnel.create_trigger(
  target      regclass,
  function    text,
  operations  text[] DEFAULT '{INSERT,UPDATE,DELETE}',
  granularity text DEFAULT 'auto',
  condition   text DEFAULT NULL
) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
  path text := pg_catalog.current_setting('search_path');
  rel record;
  wanted text[];
  by_row boolean;
  by_itself boolean;
  transition text;
  kind text;
  function_id uuid;
  trigger_id uuid;
  name text;
  operation text;
  statement text;
  expression refcursor;
  hint text;
BEGIN
  -- The caller's search_path is for the condition only. In the rest it would let whoever
  -- may create in one of its schemas put functions and operators in the place of ours.
  PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
  wanted := ARRAY(SELECT DISTINCT upper(btrim(o)) FROM unnest(operations) AS o ORDER BY 1);
  trigger_id := gen_random_uuid();
  SELECT c.oid, c.relkind, n.nspname, c.relispartition,
         EXISTS (SELECT FROM pg_catalog.pg_inherits i WHERE c.oid IN (i.inhrelid, i.inhparent)) AS inherits
  INTO rel FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = target;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'there is no such table' USING ERRCODE = '42P01', HINT = 'Name an existing table.';
  END IF;
  IF rel.relkind NOT IN ('r', 'p', 'f') THEN
    RAISE EXCEPTION '% is not a table', target
      USING ERRCODE = '42809', HINT = 'Put the trigger on the table whose rows change; views and materialized views have none.';
  END IF;
  IF rel.nspname IN ('runnel', 'pg_catalog', 'information_schema') THEN
    RAISE EXCEPTION '% belongs to %: its changes cannot invoke a function', target, rel.nspname
      USING ERRCODE = '42809', HINT = 'Put the trigger on a table of your own.';
  END IF;
  IF NOT has_table_privilege(target, 'TRIGGER') THEN
    RAISE EXCEPTION 'permission denied to put a trigger on %', target
      USING ERRCODE = '42501', HINT = format('Its owner can allow it: GRANT TRIGGER ON %s TO %I.', target, current_user);
  END IF;
  IF wanted = '{}' OR NOT wanted <@ '{INSERT,UPDATE,DELETE,TRUNCATE}' THEN
    RAISE EXCEPTION 'operations % are not valid', coalesce(operations::text, 'NULL')
      USING ERRCODE = '22023', HINT = 'Give one or more of INSERT, UPDATE, DELETE and TRUNCATE.';
  END IF;
  IF granularity IS NULL OR granularity NOT IN ('auto', 'row', 'statement') THEN
    RAISE EXCEPTION 'granularity % is not valid', coalesce(quote_literal(granularity), 'NULL')
      USING ERRCODE = '22023', HINT = 'Use auto, row or statement.';
  END IF;
  condition := nullif(btrim(condition), '');
  by_itself := rel.relkind <> 'r' OR rel.relispartition OR rel.inherits;
  by_row := by_itself OR condition IS NOT NULL;
  IF granularity = 'statement' AND by_row THEN
    RAISE EXCEPTION 'granularity statement is not possible %',
      CASE WHEN condition IS NOT NULL THEN 'together with a condition' ELSE 'on ' || target END
      USING ERRCODE = '0A000', HINT = 'On a partitioned, inherited or foreign table a statement does not know all of its rows, and a condition looks at each row: use granularity row.';
  END IF;
  IF condition IS NOT NULL AND 'TRUNCATE' = ANY (wanted) THEN
    RAISE EXCEPTION 'TRUNCATE cannot have a condition'
      USING ERRCODE = '0A000', HINT = 'Leave the condition out, or TRUNCATE; TRUNCATE has no rows to look at.';
  END IF;
  function_id := runnel.prepare_trigger(target, function);

  FOR name IN
    SELECT t.tgname FROM pg_catalog.pg_trigger t
    WHERE t.tgrelid = target AND t.tgparentid = 0
      AND t.tgfoid IN ('runnel.on_change_rows'::regproc, 'runnel.on_change_row'::regproc)
      AND split_part(encode(t.tgargs, 'escape'), '\000', 1) = function_id::text
  LOOP
    EXECUTE format('DROP TRIGGER %I ON %s', name, target);
  END LOOP;
  IF condition IS NOT NULL THEN
    -- A cursor is for one SELECT. What is one here, within these parentheses, cannot
    -- close those of CREATE TRIGGER and go on with something else. Nothing is fetched.
    statement := format(E'SELECT (%s\n) FROM pg_catalog.unnest(NULL::%s[]) AS old, pg_catalog.unnest(NULL::%s[]) AS new', condition, target, target);
    PERFORM pg_catalog.set_config('search_path', path, true);
    OPEN expression FOR EXECUTE statement;
    CLOSE expression;
    PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
  END IF;
  FOREACH operation IN ARRAY wanted LOOP
    name := runnel.trigger_name(function, operation);
    transition := CASE operation
      WHEN 'TRUNCATE' THEN ''
      WHEN 'INSERT' THEN 'REFERENCING NEW TABLE AS new_rows'
      WHEN 'DELETE' THEN 'REFERENCING OLD TABLE AS old_rows'
      ELSE 'REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows' END;
    IF NOT by_row OR operation = 'TRUNCATE' THEN
      EXECUTE format('CREATE TRIGGER %I AFTER %s ON %s %s FOR EACH STATEMENT EXECUTE FUNCTION runnel.on_change_rows(%L, %L, %L, %L, %L)',
        name, operation, target, transition, function_id, granularity, trigger_id, clock_timestamp(), 'plain');
      CONTINUE;
    END IF;
    kind := CASE WHEN rel.relkind = 'p' THEN 'partitioned' WHEN by_itself THEN 'plain' ELSE 'matching' END;
    LOOP
      statement := format('CREATE TRIGGER %I AFTER %s ON %s %s FOR EACH ROW %s EXECUTE FUNCTION runnel.on_change_row(%L, %L, %L, %L, %L)',
        name, operation, target, CASE kind WHEN 'matching' THEN transition ELSE '' END,
        CASE WHEN condition IS NOT NULL THEN E'WHEN (' || condition || E'\n)' ELSE '' END,
        function_id, granularity, trigger_id, clock_timestamp(), kind);
      PERFORM pg_catalog.set_config('search_path', path, true);
      EXECUTE statement;
      PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
      EXIT WHEN kind <> 'matching';
      IF has_function_privilege('runnel.is_pure(oid)', 'EXECUTE') THEN
        EXIT WHEN runnel.is_pure((SELECT t.oid FROM pg_catalog.pg_trigger t WHERE t.tgrelid = target AND t.tgname = name));
      END IF;
      EXECUTE format('DROP TRIGGER %I ON %s', name, target);
      kind := 'plain';
    END LOOP;
    IF kind = 'matching' THEN
      EXECUTE format('CREATE TRIGGER %I AFTER %s ON %s %s FOR EACH STATEMENT EXECUTE FUNCTION runnel.on_change_rows(%L, %L, %L, %L, %L)',
        runnel.trigger_name(function, operation || 's'), operation, target, transition, function_id, granularity, trigger_id, clock_timestamp(), kind);
    END IF;
  END LOOP;
  name := regexp_replace(runnel.trigger_name(function, 'x'), '_x$', '');
  PERFORM pg_catalog.set_config('search_path', path, true);
  RETURN name;
EXCEPTION WHEN syntax_error_or_access_rule_violation OR feature_not_supported OR data_exception THEN
  -- What Postgres says of a condition; our own refusals have a hint.
  GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
  IF condition IS NULL OR hint <> '' OR SQLSTATE = '42501' THEN
    RAISE;
  END IF;
  RAISE EXCEPTION 'condition % is not valid: %', quote_literal(condition), SQLERRM USING ERRCODE = SQLSTATE,
    HINT = 'Write one expression over the columns of OLD and NEW, such as OLD.state IS DISTINCT FROM NEW.state. An INSERT has no OLD and a DELETE no NEW: give the operations that have what it needs.';
END $$;

-- Removes what create_trigger made for this table and function.
CREATE OR REPLACE FUNCTION runnel.drop_trigger(target regclass, function text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  function_id uuid := runnel.prepare_trigger(NULL, function);
  name text;
  dropped boolean := false;
BEGIN
  FOR name IN
    SELECT t.tgname FROM pg_catalog.pg_trigger t
    WHERE t.tgrelid = target AND t.tgparentid = 0
      AND t.tgfoid IN ('runnel.on_change_rows'::regproc, 'runnel.on_change_row'::regproc)
      AND split_part(encode(t.tgargs, 'escape'), '\000', 1) = function_id::text
  LOOP
    EXECUTE format('DROP TRIGGER %I ON %s', name, target);
    dropped := true;
  END LOOP;
  IF NOT dropped THEN
    RAISE EXCEPTION 'there is no trigger of function % on %', function, target
      USING ERRCODE = '42704', HINT = 'SELECT * FROM runnel.triggers lists what there is.';
  END IF;
END $$;

-- Triggers as they are. One row for each table and function.
CREATE OR REPLACE VIEW runnel.triggers AS
SELECT (min(t.arg[3]))::uuid AS id,
       f.id AS function_id, f.name AS function_name,
       n.nspname AS table_schema, c.relname AS table_name, c.oid AS table_id,
       array_agg(DISTINCT t.operation ORDER BY t.operation) AS operations,
       min(t.arg[2]) AS granularity,
       CASE WHEN bool_or(t.by_row) THEN 'row' ELSE 'statement' END AS level,
       min(t.condition) AS condition,
       bool_and(t.enabled) AS enabled,
       (min(t.arg[4]))::timestamptz AS created_at
FROM (
  SELECT g.tgrelid, string_to_array(encode(g.tgargs, 'escape'), '\000') AS arg,
         (g.tgtype & 1) = 1 AS by_row, g.tgenabled <> 'D' AS enabled,
         CASE g.tgtype & 60 WHEN 4 THEN 'INSERT' WHEN 8 THEN 'DELETE' WHEN 16 THEN 'UPDATE' WHEN 32 THEN 'TRUNCATE' END AS operation,
         substring(pg_get_triggerdef(g.oid) FROM ' WHEN \((.*)\) EXECUTE FUNCTION runnel\.on_change_row\(') AS condition
  FROM pg_trigger g
  WHERE g.tgfoid IN ('runnel.on_change_rows'::regproc, 'runnel.on_change_row'::regproc)
    AND g.tgparentid = 0 AND g.tgnargs = 5
) t
JOIN runnel.functions f ON f.id::text = t.arg[1]
JOIN pg_class c ON c.oid = t.tgrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
GROUP BY f.id, c.oid, n.nspname, c.relname;

-- Deleting a function drops its triggers. One that cannot be dropped (its table
-- is not ours, or is locked for longer than five seconds) stays and does nothing.
CREATE OR REPLACE FUNCTION runnel.drop_triggers_of_function() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '5s' AS $$
DECLARE
  t record;
BEGIN
  FOR t IN
    SELECT g.tgname AS name, g.tgrelid::regclass AS target FROM pg_trigger g
    WHERE g.tgfoid IN ('runnel.on_change_rows'::regproc, 'runnel.on_change_row'::regproc) AND g.tgparentid = 0
      AND split_part(encode(g.tgargs, 'escape'), '\000', 1) = OLD.id::text
  LOOP
    BEGIN
      EXECUTE format('DROP TRIGGER %I ON %s', t.name, t.target);
    EXCEPTION WHEN insufficient_privilege OR lock_not_available THEN
      RAISE WARNING 'trigger % on % could not be dropped and does nothing from now on: %', t.name, t.target, SQLERRM;
    END;
  END LOOP;
  RETURN OLD;
END $$;

CREATE OR REPLACE TRIGGER drop_triggers_of_function BEFORE DELETE ON runnel.functions
  FOR EACH ROW EXECUTE FUNCTION runnel.drop_triggers_of_function();
