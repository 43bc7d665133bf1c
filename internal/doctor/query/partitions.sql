-- Each partitioned table: days ahead for which a partition is there, without a gap,
-- today being 0 and -1 none; and whether rows are in the default one.
SELECT p.relname::text, coalesce((
         SELECT min(n) - 1 FROM generate_series(0, 400) n
         WHERE to_regclass(format('runnel.%I', p.relname || '_' || to_char((now() AT TIME ZONE 'UTC')::date + n, 'YYYYMMDD'))) IS NULL), 400)::int,
       (xpath('/row/c/text()', query_to_xml(format('SELECT EXISTS (SELECT FROM runnel.%I) AS c', p.relname || '_default'), false, true, '')))[1]::text = 'true'
FROM pg_class p
WHERE p.relnamespace = 'runnel'::regnamespace AND p.relkind = 'p' ORDER BY 1
