-- The demo: a table whose changes are summarized, and two schedules. Repeatable.
-- Triggers and schedules are made for those of the functions that are deployed.

CREATE SCHEMA IF NOT EXISTS demo;

CREATE TABLE IF NOT EXISTS demo.orders (
  id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  customer    text NOT NULL,
  status      text NOT NULL DEFAULT 'new',
  total_cents bigint NOT NULL CHECK (total_cents >= 0),
  updated_at  timestamptz NOT NULL DEFAULT now()
);

SELECT runnel.create_trigger('demo.orders', 'summarize-change')
FROM runnel.functions WHERE name = 'summarize-change';

SELECT runnel.schedule('nightly-rollup', '0 3 * * *', 'rollup', '{"amounts": [1250, 899, -300, 4200]}')
FROM runnel.functions WHERE name = 'rollup';

-- Six fields: the first is seconds.
SELECT runnel.schedule('rollup-every-10s', '*/10 * * * * *', 'rollup', '{"amounts": [3, -1, 4]}')
FROM runnel.functions WHERE name = 'rollup';
