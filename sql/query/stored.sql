-- The secrets and the values of the environments of some functions, as they are
-- stored.
-- $1 text[] names
SELECT s.secret, s.function_id::text, f.name, s.key, s.value, s.clear
FROM (
  SELECT true AS secret, function_id, key, value, false AS clear FROM runnel.secrets
  UNION ALL
  SELECT false, function_id, key, coalesce(sealed, convert_to(value, 'UTF8')), sealed IS NULL FROM runnel.environment
) s
JOIN runnel.functions f ON f.id = s.function_id
WHERE f.name = ANY ($1::text[])
ORDER BY f.name, s.secret DESC, s.key
