-- Responses that are there. Nobody waits for two days, and older ones are dropped
-- anyway, so older partitions are not looked at.
-- $1 uuid[] ids
SELECT id, status, coalesce(code, ''), coalesce(message, ''), result
FROM runnel.invocation_responses
WHERE id = ANY ($1::uuid[]) AND created_at > now() - interval '2 days'
