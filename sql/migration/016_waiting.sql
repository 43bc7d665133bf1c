-- A run that waits for the one before is started by its tick. Where the tick goes,
-- with its schedule, by retention after weeks of waiting, or by hand, the run is
-- cancelled: it would wait for ever, and the log says so instead.
--
-- Operator: replaces a trigger on runnel.schedules by one on runnel.schedule_ticks.
DROP TRIGGER on_schedule_deleted ON runnel.schedules;
DROP FUNCTION runnel.on_schedule_deleted();

CREATE FUNCTION runnel.on_waiting_tick_deleted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  UPDATE runnel.river_job SET state = 'cancelled', finalized_at = now()
  WHERE id = OLD.job_id AND state = 'pending';
  RETURN NULL;
END $$;
CREATE TRIGGER on_waiting_tick_deleted AFTER DELETE ON runnel.schedule_ticks
  FOR EACH ROW WHEN (OLD.waiting) EXECUTE FUNCTION runnel.on_waiting_tick_deleted();
