-- What the function keeps. Callers may add, and read nothing.
CREATE TABLE IF NOT EXISTS webhooks (
  id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  kind        text,
  body        json NOT NULL,
  received_at timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE webhooks ENABLE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS add ON webhooks;
CREATE POLICY add ON webhooks FOR INSERT TO anon, authenticated WITH CHECK (true);
GRANT INSERT ON webhooks TO anon, authenticated;
