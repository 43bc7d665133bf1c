-- Takes an idempotency key, or finds who has it: the invocation's id, what it was
-- asked, and whether it is the one given, which is then to be enqueued in the same
-- transaction. No row: no such function.
-- $1 text function  $2 bytea scope  $3 text key  $4 bytea request  $5 uuid id
SELECT t.id, t.asked, t.id = $5::uuid
FROM runnel.functions f
CROSS JOIN LATERAL runnel.take_key(f.id, $2::bytea, $3::text, $4::bytea, $5::uuid) t
WHERE f.name = $1
