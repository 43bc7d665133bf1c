-- Seconds until the next schedule is due, or null. Those that are due now and
-- were not swept are another sweep's.
SELECT extract(epoch FROM min(next_run) - clock_timestamp())::float8
FROM runnel.schedules
WHERE enabled AND next_run > now() AND next_run < 'infinity'
