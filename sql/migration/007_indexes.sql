-- Indexes for what grew with what it does not look for.
--
-- Operator: builds a partial index on runnel.river_job, which reads the table once and
-- holds up its writers meanwhile (with millions of finished jobs, migrate at a quiet
-- time), and a small one on runnel.functions.

-- Dead letters of one function, newest first. River's own index serves those of all.
CREATE INDEX river_job_dead ON runnel.river_job ((args ->> 'function'), finalized_at DESC, id DESC)
  WHERE state = 'discarded' AND kind = 'invoke' AND finalized_at IS NOT NULL;

-- What was deployed since a worker last asked.
CREATE INDEX functions_updated_at ON runnel.functions (updated_at);
