-- What is needed to turn a type's text into JSON. Arrays name their element.
-- $1 oid[] types; null: all of Postgres's own
SELECT t.oid, CASE WHEN t.typinput = 'pg_catalog.array_in'::regproc THEN e.typname || '[]' ELSE t.typname END::text,
       CASE WHEN t.typinput = 'pg_catalog.array_in'::regproc THEN t.typelem ELSE 0 END::oid,
       CASE WHEN e.typtype = 'd' THEN e.typbasetype ELSE 0 END::oid,
       coalesce(e.typdelim, ',')::text
FROM pg_type t LEFT JOIN pg_type e ON e.oid = t.typelem
WHERE t.oid = ANY ($1::oid[]) OR $1::oid[] IS NULL AND t.oid < 16384
