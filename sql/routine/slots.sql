-- Slots: logins for functions' own SQL (runnel.slots says why).

-- Makes or repairs a slot. verifier is a SCRAM-SHA-256 verifier, so that no
-- password reaches the server or its log.
CREATE OR REPLACE FUNCTION runnel.create_slot(slot name, level name, verifier text, mark text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF slot !~ ('^runnel_[0-9]+_' || level || '_[0-9]+$') OR verifier !~ '^SCRAM-SHA-256\$' THEN
    RAISE EXCEPTION 'not a slot' USING ERRCODE = '22023', HINT = 'Workers make slots by themselves.';
  END IF;
  PERFORM pg_advisory_xact_lock(hashtextextended('runnel.slots', 0));
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = slot) THEN
    EXECUTE format('CREATE ROLE %I NOINHERIT', slot);
  ELSE
    EXECUTE format('ALTER ROLE %I RESET ALL', slot);
    EXECUTE format('ALTER ROLE %I IN DATABASE %I RESET ALL', slot, current_database());
  END IF;
  EXECUTE format('ALTER ROLE %I LOGIN NOINHERIT CONNECTION LIMIT 1 PASSWORD %L', slot, verifier);
  EXECUTE format('GRANT %I TO %I', level, slot);
  INSERT INTO runnel.slots AS s (slot, level, mark) VALUES (create_slot.slot, create_slot.level, create_slot.mark)
  ON CONFLICT ON CONSTRAINT slots_pkey DO UPDATE SET mark = excluded.mark;
END $$;
