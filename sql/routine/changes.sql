-- What a database trigger does: changed rows become events.
--
-- A table may have a column with the name of an alias here: a row is r.*, never r.

-- Why a row of this table must not be turned into JSON here, or null.
--
-- row_to_json calls a type's cast to json, if it has one. The trigger functions
-- below run as the owner of this schema, so a cast written by the owner of some
-- column's type would run as us. Types of Postgres have no such casts; a type of
-- someone who could act as us anyway is no danger; any other is refused.
-- Nobody but its owner can give a type a cast, and the table's columns cannot
-- change while a statement writes to it.
CREATE OR REPLACE FUNCTION runnel.foreign_type(relation oid) RETURNS text
LANGUAGE plpgsql STABLE AS $$
DECLARE
  reason text;
BEGIN
  IF NOT EXISTS (SELECT FROM pg_attribute a
                 WHERE a.attrelid = relation AND a.attnum > 0 AND a.atttypid >= 16384 AND NOT a.attisdropped) THEN
    RETURN NULL;  -- 16384 and up: not Postgres's own. The usual case ends here.
  END IF;
  WITH RECURSIVE used(col, typ) AS (
    SELECT a.attname, a.atttypid FROM pg_attribute a
    WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped
    UNION
    SELECT used.col, part.typ
    FROM used JOIN pg_type t ON t.oid = used.typ
    CROSS JOIN LATERAL (
      SELECT t.typbasetype WHERE t.typtype = 'd'
      UNION ALL SELECT t.typelem WHERE t.typelem <> 0
      UNION ALL SELECT a.atttypid FROM pg_attribute a
        WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
    ) AS part(typ)
    WHERE part.typ >= 16384
  )
  SELECT format('column %I uses type %s, which belongs to %I', used.col, format_type(t.oid, NULL), t.typowner::regrole)
  INTO reason
  FROM used JOIN pg_type t ON t.oid = used.typ
  WHERE t.oid >= 16384
    AND t.typtype <> 'd'  -- casts on domains are ignored; their base type counts
    AND NOT pg_has_role(t.typowner, current_user, 'MEMBER')
  LIMIT 1;
  RETURN reason;
END $$;

-- Everything of an event but the rows, as text before and after them.
CREATE OR REPLACE FUNCTION runnel.change_head(schema_name text, table_name text, operation text) RETURNS text
LANGUAGE sql STABLE AS $$
  SELECT '{"trigger":"database","schema":' || to_json(schema_name) || ',"table":' || to_json(table_name)
      || ',"operation":' || to_json(operation)
$$;

CREATE OR REPLACE FUNCTION runnel.change_tail() RETURNS text
LANGUAGE sql STABLE AS $$
  SELECT ',"timestamp":"' || to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
      || '","transaction_id":' || pg_current_xact_id() || '}'
$$;

-- Row changes above 256 KB carry the keys only, so that one row cannot fill the
-- queue, and say so: "truncated":true.

-- The columns that identify a row when it is too large to be handed on; null when
-- the table has no primary key: such a row goes whole, or above 6 MB not at all.
CREATE OR REPLACE FUNCTION runnel.key_columns(relation oid) RETURNS text[]
LANGUAGE sql STABLE AS $$
  SELECT array_agg(a.attname::text ORDER BY k.place)
  FROM pg_index i
  CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, place)
  JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
  WHERE i.indrelid = relation AND i.indisprimary AND k.place <= i.indnkeyatts
$$;

CREATE OR REPLACE FUNCTION runnel.only_keys(image text, keys text[]) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN image = 'null' THEN image
         ELSE '{' || string_agg(to_json(k) || ':' || (image::json -> k)::text, ',' ORDER BY place) || '}' END
  FROM unnest(keys) WITH ORDINALITY AS u(k, place)
$$;

-- Whether a trigger's condition is made of columns, constants and immutable functions
-- of Postgres's own, on types of Postgres's own. Then it is the same whoever evaluates
-- it and whenever, names nothing but columns, and may be evaluated with our rights.
CREATE OR REPLACE FUNCTION runnel.is_pure(trigger oid) RETURNS boolean
LANGUAGE sql STABLE AS $$
  SELECT coalesce((
    SELECT NOT EXISTS (
        SELECT FROM pg_catalog.regexp_matches(q.nodes, '\{([A-Z_]+)', 'g') AS m(found)
        WHERE m.found[1] <> ALL ('{VAR,CONST,OPEXPR,DISTINCTEXPR,NULLIFEXPR,SCALARARRAYOPEXPR,FUNCEXPR,BOOLEXPR,NULLTEST,BOOLEANTEST,RELABELTYPE,CASE,CASEEXPR,WHEN,CASEWHEN,CASETESTEXPR,COALESCE,COALESCEEXPR,ARRAY,ARRAYEXPR}'))
      AND NOT EXISTS (
        SELECT FROM pg_catalog.regexp_matches(q.nodes, ':(?:opfuncid|funcid) ([0-9]+)', 'g') AS m(found)
        LEFT JOIN pg_catalog.pg_proc p ON p.oid = m.found[1]::oid AND p.oid < 16384 AND p.provolatile = 'i'
        WHERE p.oid IS NULL)
      AND NOT EXISTS (
        SELECT FROM pg_catalog.regexp_matches(q.nodes, ':\w*type(?:id|Id)? ([0-9]+)', 'gi') AS m(found) WHERE m.found[1]::oid >= 16384)
      AND NOT EXISTS (
        SELECT FROM pg_catalog.regexp_matches(q.nodes, ':varattno (-?[0-9]+)', 'g') AS m(found)
        LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = q.tgrelid AND a.attnum = m.found[1]::int AND a.attnum > 0 AND a.attgenerated <> 'v'
        WHERE a.attnum IS NULL)
    FROM (SELECT g.tgrelid, g.tgqual::text AS nodes FROM pg_catalog.pg_trigger g WHERE g.oid = trigger) q
    WHERE q.nodes IS NOT NULL), false)
$$;

-- The rows of a statement for which a trigger's condition holds: a query over its
-- transition tables that answers them as JSON, old and new, in their order. The
-- condition is read from the row-level trigger that has it, so it follows its columns
-- when they are renamed. Null when that trigger is gone, empty when it is no trigger
-- of create_trigger's: whoever may make triggers may make them by hand.
CREATE OR REPLACE FUNCTION runnel.matching(relation oid, trigger_id text, operation text) RETURNS text
LANGUAGE plpgsql STABLE AS $$
DECLARE
  g record;
  before text;
  after text;
  condition text;
  columns text[];
  place text := 'place';
BEGIN
  SELECT t.oid, t.tgname, n.nspname, c.relname, pg_get_triggerdef(t.oid) AS text,
         string_to_array(trim(trailing '\000' FROM encode(t.tgargs, 'escape')), '\000') AS args
  INTO g
  FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE t.tgrelid = relation AND t.tgfoid = 'runnel.on_change_row'::regproc
    AND t.tgtype & 60 = CASE operation WHEN 'INSERT' THEN 4 WHEN 'DELETE' THEN 8 ELSE 16 END
    AND split_part(encode(t.tgargs, 'escape'), '\000', 3) = trigger_id;
  IF NOT FOUND THEN
    RETURN NULL;
  END IF;
  -- What is between is the condition: searching the text could find names instead.
  before := format('CREATE TRIGGER %I AFTER %s ON %I.%I REFERENCING %sFOR EACH ROW WHEN (', g.tgname, operation, g.nspname, g.relname,
    CASE operation WHEN 'INSERT' THEN '' ELSE 'OLD TABLE AS old_rows ' END || CASE operation WHEN 'DELETE' THEN '' ELSE 'NEW TABLE AS new_rows ' END);
  after := format(') EXECUTE FUNCTION runnel.on_change_row(%s)', (SELECT string_agg(quote_literal(a), ', ' ORDER BY o) FROM unnest(g.args) WITH ORDINALITY AS u(a, o)));
  IF NOT starts_with(g.text, before) OR right(g.text, length(after)) <> after OR NOT runnel.is_pure(g.oid) THEN
    RETURN '';
  END IF;
  condition := substr(g.text, length(before) + 1, length(g.text) - length(before) - length(after));
  IF operation = 'INSERT' THEN
    RETURN 'SELECT ''null'', row_to_json(new.*)::text FROM new_rows AS new WHERE ' || condition;
  ELSIF operation = 'DELETE' THEN
    RETURN 'SELECT row_to_json(old.*)::text, ''null'' FROM old_rows AS old WHERE ' || condition;
  END IF;
  columns := ARRAY(
    SELECT a.attname::text FROM pg_attribute a
    WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum);
  WHILE place = ANY (columns) LOOP
    place := place || '_';
  END LOOP;
  RETURN format('SELECT (SELECT row_to_json(v.*)::text FROM (SELECT %s) AS v), (SELECT row_to_json(v.*)::text FROM (SELECT %s) AS v)
    FROM (SELECT r.*, row_number() OVER () AS %3$I FROM old_rows AS r) AS old
    JOIN (SELECT r.*, row_number() OVER () AS %3$I FROM new_rows AS r) AS new ON old.%3$I = new.%3$I
    WHERE %4$s ORDER BY new.%3$I',
    (SELECT string_agg(format('old.%I', c), ', ' ORDER BY o) FROM unnest(columns) WITH ORDINALITY AS u(c, o)),
    (SELECT string_agg(format('new.%I', c), ', ' ORDER BY o) FROM unnest(columns) WITH ORDINALITY AS u(c, o)),
    place, condition);
END $$;

-- The statement-level trigger function, for ordinary tables and for TRUNCATE.
-- Arguments: function id, granularity, trigger id, time of creation, kind: 'plain' or
-- 'partitioned' table, or 'matching', which is a plain one with a condition.
--
-- Old and new rows are paired by position. Postgres adds both images of a row to
-- the two transition tables in one step, so the n-th of one belongs to the n-th
-- of the other, also where the primary key changes (pairing by key would then
-- marry strangers) and where there is none. A test shuffles keys to hold it to that.
--
-- With a condition: a statement of eight rows or less is on_change_row's, which is
-- called for rows that match and for no others; so a statement that changes one row
-- pays next to nothing when it does not match. Larger ones are looked at here, at
-- once. Both count the same rows, so every row is one's or the other's.
--
-- The settings make the JSON independent of the writer's session.
CREATE OR REPLACE FUNCTION runnel.on_change_rows() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET bytea_output = 'hex' SET extra_float_digits = 1 AS $$
DECLARE
  too_large CONSTANT int := 6291456;  -- what a function can be handed, in bytes
  bound CONSTANT int := 262144;       -- of old and new together; above it keys only
  keys text[];
  mark text;
  f runnel.functions;
  head text;
  tail text;
  reason text;
  old_rows_left refcursor;
  new_rows_left refcursor;
  matches text;
  matching_rows_left refcursor;
  matched boolean;
  old_row text := 'null';
  new_row text := 'null';
  pairs text[] := '{}';     -- of one job, with granularity statement
  pairs_size int := 0;
  events text[] := '{}';    -- not enqueued yet
  events_size int := 0;
  event text;
  more boolean := true;
BEGIN
  IF TG_OP IN ('UPDATE', 'DELETE') THEN
    PERFORM FROM old_rows OFFSET CASE TG_ARGV[4] WHEN 'matching' THEN 8 ELSE 0 END LIMIT 1;
    IF NOT FOUND THEN RETURN NULL; END IF;
  ELSIF TG_OP = 'INSERT' THEN
    PERFORM FROM new_rows OFFSET CASE TG_ARGV[4] WHEN 'matching' THEN 8 ELSE 0 END LIMIT 1;
    IF NOT FOUND THEN RETURN NULL; END IF;
  END IF;
  SELECT * INTO f FROM runnel.functions WHERE id = TG_ARGV[0]::uuid;
  IF NOT FOUND THEN
    RETURN NULL;  -- deleted, and the trigger could not be dropped then
  END IF;
  reason := CASE WHEN TG_OP <> 'TRUNCATE' THEN runnel.foreign_type(TG_RELID) END;
  IF TG_ARGV[4] = 'matching' THEN
    matches := runnel.matching(TG_RELID, TG_ARGV[2], TG_OP);
    IF matches IS NULL THEN
      RETURN NULL;
    ELSIF matches = '' THEN
      reason := 'its condition is none that create_trigger looks at for a whole statement';
    ELSIF NOT f.enabled OR reason IS NOT NULL THEN
      EXECUTE 'SELECT EXISTS (' || matches || ')' INTO matched;
      IF NOT matched THEN RETURN NULL; END IF;
    END IF;
  END IF;
  IF NOT f.enabled THEN
    PERFORM runnel.skip(f, 'database', 'FunctionNotFound',
      format('function %s is disabled: %s on %I.%I was not delivered', f.name, TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME));
    RETURN NULL;
  END IF;

  head := runnel.change_head(TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_OP);
  tail := runnel.change_tail();
  IF TG_OP = 'TRUNCATE' THEN
    PERFORM runnel.enqueue(f, 'database', ARRAY[runnel.uuid_v7()], ARRAY[head || ',"old":null,"new":null' || tail]);
    RETURN NULL;
  END IF;
  IF reason IS NOT NULL THEN
    PERFORM runnel.skip(f, 'database', 'Forbidden',
      format('%s on %I.%I was not delivered: %s. Create the trigger again for what to do', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME, reason));
    RETURN NULL;
  END IF;

  IF matches IS NOT NULL THEN
    OPEN matching_rows_left FOR EXECUTE matches;
  ELSE
    IF TG_OP <> 'INSERT' THEN
      OPEN old_rows_left FOR SELECT row_to_json(r.*)::text FROM old_rows r;
    END IF;
    IF TG_OP <> 'DELETE' THEN
      OPEN new_rows_left FOR SELECT row_to_json(r.*)::text FROM new_rows r;
    END IF;
  END IF;
  WHILE more LOOP
    IF matches IS NOT NULL THEN
      FETCH matching_rows_left INTO old_row, new_row;
      more := FOUND;
    ELSE
      IF TG_OP <> 'INSERT' THEN
        FETCH old_rows_left INTO old_row;
        more := FOUND;
      END IF;
      IF TG_OP <> 'DELETE' THEN
        FETCH new_rows_left INTO new_row;
        more := FOUND;
      END IF;
    END IF;

    event := NULL;
    mark := '';
    IF more AND octet_length(old_row) + octet_length(new_row) > bound THEN
      keys := coalesce(keys, runnel.key_columns(TG_RELID), '{}');
      IF keys <> '{}' THEN
        old_row := runnel.only_keys(old_row, keys);
        new_row := runnel.only_keys(new_row, keys);
        mark := ',"truncated":true';
      END IF;
    END IF;
    IF TG_ARGV[1] = 'statement' THEN
      IF pairs <> '{}' AND (NOT more OR cardinality(pairs) = 100
         OR pairs_size + octet_length(old_row) + octet_length(new_row) > too_large - 8192) THEN
        event := head || ',"old":null,"new":null,"rows":[' || array_to_string(pairs, ',') || ']' || tail;
        pairs := '{}';
        pairs_size := 0;
      END IF;
      IF more THEN
        pairs := pairs || ('{"old":' || old_row || ',"new":' || new_row || mark || '}');
        pairs_size := pairs_size + octet_length(pairs[cardinality(pairs)]) + 1;
      END IF;
    ELSIF more THEN
      event := head || ',"old":' || old_row || ',"new":' || new_row || mark || tail;
    END IF;

    IF octet_length(event) > too_large THEN
      PERFORM runnel.skip(f, 'database', 'TooLarge',
        format('a row of %I.%I changed by %s is over 6 MB and was not delivered', TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_OP));
    ELSIF event IS NOT NULL THEN
      events := events || event;
      events_size := events_size + octet_length(event);
    END IF;
    IF events <> '{}' AND (NOT more OR cardinality(events) = 500 OR events_size > too_large) THEN
      PERFORM runnel.enqueue(f, 'database', ARRAY(SELECT runnel.uuid_v7() FROM generate_series(1, cardinality(events))), events);
      events := '{}';
      events_size := 0;
    END IF;
  END LOOP;
  RETURN NULL;
END $$;

-- The row-level trigger function, for every table on which a statement's
-- transition tables would not hold all rows (partitions, inheritance) or do not
-- exist (foreign tables), and for conditions.
CREATE OR REPLACE FUNCTION runnel.on_change_row() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET bytea_output = 'hex' SET extra_float_digits = 1 AS $$
DECLARE
  f runnel.functions;
  reason text;
  old_row text := 'null';
  new_row text := 'null';
  event text;
  on_schema text := TG_TABLE_SCHEMA;
  on_table text := TG_TABLE_NAME;
  up oid;
  keys text[];
  mark text := '';
BEGIN
  IF TG_ARGV[4] = 'matching' THEN
    IF TG_OP = 'DELETE' THEN
      PERFORM FROM old_rows OFFSET 8 LIMIT 1;
    ELSE
      PERFORM FROM new_rows OFFSET 8 LIMIT 1;
    END IF;
    IF FOUND THEN
      RETURN NULL;  -- on_change_rows does it
    END IF;
  END IF;
  SELECT * INTO f FROM runnel.functions WHERE id = TG_ARGV[0]::uuid;
  IF NOT FOUND THEN
    RETURN NULL;
  END IF;
  IF TG_ARGV[4] = 'partitioned' THEN
    -- This is a copy of the trigger, in a partition: name the table that was named.
    SELECT t.tgparentid INTO up FROM pg_trigger t WHERE t.tgrelid = TG_RELID AND t.tgname = TG_NAME;
    WHILE up <> 0 LOOP
      SELECT t.tgparentid, n.nspname, c.relname INTO up, on_schema, on_table
      FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE t.oid = up;
    END LOOP;
  END IF;
  IF NOT f.enabled THEN
    PERFORM runnel.skip(f, 'database', 'FunctionNotFound',
      format('function %s is disabled: %s on %I.%I was not delivered', f.name, TG_OP, on_schema, on_table));
    RETURN NULL;
  END IF;
  reason := runnel.foreign_type(TG_RELID);
  IF reason IS NOT NULL THEN
    PERFORM runnel.skip(f, 'database', 'Forbidden',
      format('%s on %I.%I was not delivered: %s. Create the trigger again for what to do', TG_OP, on_schema, on_table, reason));
    RETURN NULL;
  END IF;
  IF TG_OP <> 'INSERT' THEN
    old_row := row_to_json(OLD)::text;
  END IF;
  IF TG_OP <> 'DELETE' THEN
    new_row := row_to_json(NEW)::text;
  END IF;
  IF octet_length(old_row) + octet_length(new_row) > 262144 THEN
    keys := runnel.key_columns(TG_RELID);
    IF keys IS NOT NULL THEN
      old_row := runnel.only_keys(old_row, keys);
      new_row := runnel.only_keys(new_row, keys);
      mark := ',"truncated":true';
    END IF;
  END IF;
  event := runnel.change_head(on_schema, on_table, TG_OP)
    || ',"old":' || old_row || ',"new":' || new_row || mark || runnel.change_tail();
  IF octet_length(event) > 6291456 THEN
    PERFORM runnel.skip(f, 'database', 'TooLarge',
      format('a row of %I.%I changed by %s is over 6 MB and was not delivered', on_schema, on_table, TG_OP));
  ELSE
    PERFORM runnel.enqueue(f, 'database', ARRAY[runnel.uuid_v7()], ARRAY[event]);
  END IF;
  RETURN NULL;
END $$;
