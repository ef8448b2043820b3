-- due_probes: the queues that want a probe now, and its moment. One is due when a satellite has been ready for half
-- a second, again 2, 4, 8 … 60 s after one that did not come out, and every 30 s in an idle queue. Where no live worker
-- listens, one that did not come out is enough. The row's guard lets two reconcilers send one. A clock that jumped
-- back stops nothing: what is dated in the future counts as old.
CREATE OR REPLACE FUNCTION due_probes(p_now timestamptz DEFAULT NULL)
RETURNS TABLE (queue text, sent_at timestamptz)
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    v_now timestamptz := coalesce(p_now, clock_timestamp());
BEGIN
    RETURN QUERY
    WITH RECURSIVE ready(queue) AS (  -- each queue once, by a step through the index, however long its backlog
        (SELECT s.queue FROM satellites s WHERE s.queued_at IS NOT NULL ORDER BY s.queue LIMIT 1)
        UNION ALL
        SELECT (SELECT s.queue FROM satellites s WHERE s.queued_at IS NOT NULL AND s.queue > r.queue
                ORDER BY s.queue LIMIT 1)
        FROM ready r WHERE r.queue IS NOT NULL
    ), known AS (
        SELECT t.queue FROM satellite_types t UNION SELECT p.queue FROM probes p
        UNION SELECT r.queue FROM ready r WHERE r.queue IS NOT NULL
    ), waiting AS (
        SELECT k.queue, EXISTS (
            SELECT FROM satellites s WHERE s.queue = k.queue AND s.queued_at < v_now - interval '0.5 s'
        ) OR EXISTS (
            SELECT FROM satellites s WHERE s.queue = k.queue AND s.queued_at > v_now + interval '10 min'
        ) AS aged, EXISTS (
            SELECT FROM workers x WHERE k.queue = ANY (x.queues) AND x.renewed_at > v_now - interval '1 min'
        ) AS heard FROM known k
    )
    INSERT INTO probes AS p (queue, sent_at, unanswered)
    SELECT w.queue, v_now, 1 FROM waiting w
    WHERE w.heard OR NOT EXISTS (SELECT FROM probes p WHERE p.queue = w.queue AND p.unanswered > 0)
    ON CONFLICT (queue) DO UPDATE
    SET sent_at = excluded.sent_at, unanswered = p.unanswered + 1
    WHERE excluded.sent_at > p.sent_at + CASE
        WHEN p.unanswered > 0 THEN make_interval(secs => least(2 ^ least(p.unanswered, 6), 60))
        WHEN (SELECT w.aged FROM waiting w WHERE w.queue = p.queue) THEN interval '0.5 s'
        ELSE interval '30 s'
    END OR excluded.sent_at < p.sent_at - interval '1 min'
    RETURNING p.queue, p.sent_at;
END
$$;
