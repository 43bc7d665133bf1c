-- Functions' secrets, encrypted.
--
-- Operator: creates an empty table only; no lock on anything that exists. Values
-- are sealed by the processes with RUNNEL_SECRET_KEYS, which the database never
-- sees: a dump of this table is of no use without them, and neither are the
-- secrets when they are lost. Keep the keys apart from your backups.

CREATE TABLE runnel.secrets (
  function_id uuid NOT NULL REFERENCES runnel.functions ON DELETE CASCADE,
  key         text COLLATE "C" NOT NULL CHECK (key ~ '^[A-Za-z_][A-Za-z0-9_]{0,127}$'),
  -- Format, key id, nonce, AES-256-GCM ciphertext and tag, bound to function_id and
  -- key: a row that was copied to another place does not decrypt.
  value       bytea NOT NULL CHECK (octet_length(value) BETWEEN 37 AND 131200),
  created_at  timestamptz NOT NULL DEFAULT now(),
  updated_at  timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (function_id, key)
);
