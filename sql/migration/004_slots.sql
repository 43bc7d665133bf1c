-- Functions' own SQL: slot logins and claims.
--
-- Operator: creates empty tables only; no lock on anything that exists.
--
-- Why logins: SET ROLE can be undone by SQL text (RESET ROLE, set_config). A login
-- cannot. Each connection that runs a function's SQL is a login of its own, a
-- slot, which is a member of one level and of nothing else, owns nothing, and may
-- be connected once at a time. Worker processes create slots as they need them
-- (runnel.create_slot) and set their passwords.

CREATE TABLE runnel.slots (
  slot  name PRIMARY KEY,       -- runnel_<oid of the database>_<level>_<number>
  level name NOT NULL CHECK (level IN ('anon', 'authenticated', 'service_role')),
  mark  text NOT NULL           -- which RUNNEL_SLOT_SECRET its password was made from
);

-- On whose behalf a slot's connection works now. Only the owner writes it, from
-- another connection, before the invocation's first statement. The key holds the
-- backend as well, so that nothing that comes after it can be taken for it.
-- Not logged: no connection survives a crash, so no row need.
CREATE UNLOGGED TABLE runnel.claims (
  slot   name NOT NULL,
  pid    int NOT NULL,
  claims jsonb NOT NULL,
  depth  int NOT NULL,
  PRIMARY KEY (slot, pid)
) WITH (fillfactor = 50);
