CREATE TABLE IF NOT EXISTS guest_book (name text NOT NULL, at timestamptz NOT NULL DEFAULT now());
GRANT SELECT, INSERT ON guest_book TO anon, authenticated, service_role;
