-- Replaces a secret, or a value of an environment, that is still the one given. A row
-- for the one that was replaced.
-- $1 boolean a secret  $2 uuid function  $3 text key  $4 bytea as it was stored
-- $5 boolean that was in the clear  $6 bytea sealed
WITH secret AS (
  UPDATE runnel.secrets SET value = $6, updated_at = now()
  WHERE $1::boolean AND function_id = $2 AND key = $3 AND value = $4::bytea
  RETURNING key
), environment AS (
  UPDATE runnel.environment SET value = NULL, sealed = $6
  WHERE NOT $1::boolean AND function_id = $2 AND key = $3
    AND CASE WHEN $5::boolean THEN convert_to(value, 'UTF8') = $4::bytea ELSE sealed = $4::bytea END
  RETURNING key
)
SELECT key FROM secret UNION ALL SELECT key FROM environment
