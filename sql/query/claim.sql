-- Says on whose behalf a slot's connection works from now on. Older backends of
-- the slot are gone: it can be connected only once.
-- $1 text slot  $2 int backend's pid  $3 text claims  $4 int depth
WITH gone AS (DELETE FROM runnel.claims WHERE slot = $1::name AND pid <> $2::int)
INSERT INTO runnel.claims AS c (slot, pid, claims, depth) VALUES ($1::name, $2::int, $3::text::jsonb, $4::int)
ON CONFLICT (slot, pid) DO UPDATE SET claims = excluded.claims, depth = excluded.depth
