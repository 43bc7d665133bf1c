-- All secrets and all values of environments, as they are stored.
SELECT s.secret, s.function_id::text, f.name, s.key, s.value, s.clear
FROM (
  SELECT true AS secret, function_id, key, value, false AS clear FROM runnel.secrets
  UNION ALL
  SELECT false, function_id, key, coalesce(sealed, convert_to(value, 'UTF8')), sealed IS NULL FROM runnel.environment
) s
JOIN runnel.functions f ON f.id = s.function_id
ORDER BY f.name, s.secret DESC, s.key
