-- What an operator has asked of a worker: whether its queue is paused, and which
-- of its running jobs are to be cancelled.
-- $1 bigint[] jobs that run there
SELECT EXISTS (SELECT FROM runnel.river_queue WHERE name = 'functions' AND paused_at IS NOT NULL),
       ARRAY(SELECT id FROM runnel.river_job
             WHERE id = ANY ($1::bigint[]) AND state = 'running' AND metadata ? 'cancel_attempted_at')
