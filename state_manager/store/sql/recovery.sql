-- fire_due: satellites whose wait before the next attempt is over become ready, and are to be sent; unless something
-- that they depend on was put back meanwhile, which they wait for again.
CREATE OR REPLACE FUNCTION fire_due(p_limit int, p_now timestamptz DEFAULT NULL)
RETURNS TABLE (id uuid, execution_id uuid, queue text, identifier text, dispatches int, alone boolean)
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH due AS (
        SELECT s.id FROM satellites s WHERE s.not_before <= coalesce(p_now, clock_timestamp())
        ORDER BY s.not_before LIMIT p_limit FOR NO KEY UPDATE SKIP LOCKED
    ), fired AS (
        UPDATE satellites s
        SET not_before = NULL, queued_at = CASE WHEN s.unmet = 0 THEN coalesce(p_now, clock_timestamp()) END,
            dispatches = s.dispatches + 1
        FROM due WHERE s.id = due.id
        RETURNING s.*
    )
    SELECT f.id, f.execution_id, f.queue, f.identifier, f.dispatches, f.alone FROM fired f WHERE f.queued_at IS NOT NULL;
END
$$;

-- send_again: a queue's satellites that have been ready since before `p_before` and are unclaimed, when a probe of
-- that moment has come out of the queue: they were behind nothing any more, so their messages are lost.
CREATE OR REPLACE FUNCTION send_again(p_queue text, p_before timestamptz, p_limit int)
RETURNS TABLE (id uuid, execution_id uuid, queue text, identifier text, dispatches int, alone boolean)
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH lost AS (
        SELECT s.id FROM satellites s WHERE s.queue = p_queue AND s.queued_at < p_before
        ORDER BY s.queued_at LIMIT p_limit FOR NO KEY UPDATE SKIP LOCKED
    )
    UPDATE satellites s SET queued_at = clock_timestamp(), dispatches = s.dispatches + 1
    FROM lost WHERE s.id = lost.id
    RETURNING s.id, s.execution_id, s.queue, s.identifier, s.dispatches, s.alone;
END
$$;

-- due_probes: the queues that want a probe now, and its moment. One is due when a satellite has been ready for half
-- a second, again 2, 4, 8 … 60 s after one that did not come out, and every 30 s in an idle queue. The row's guard
-- lets two reconcilers send one.
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
        ) AS aged FROM known k
    )
    INSERT INTO probes AS p (queue, sent_at, unanswered)
    SELECT w.queue, v_now, 1 FROM waiting w
    ON CONFLICT (queue) DO UPDATE
    SET sent_at = excluded.sent_at, unanswered = p.unanswered + 1
    WHERE excluded.sent_at > p.sent_at + CASE
        WHEN p.unanswered > 0 THEN make_interval(secs => least(2 ^ least(p.unanswered, 6), 60))
        WHEN (SELECT w.aged FROM waiting w WHERE w.queue = p.queue) THEN interval '0.5 s'
        ELSE interval '30 s'
    END
    RETURNING p.queue, p.sent_at;
END
$$;

-- repair_admission: the count of running executions is what it says it is, and no room stays empty.
CREATE OR REPLACE FUNCTION repair_admission(p_max_concurrent int, p_now timestamptz DEFAULT NULL) RETURNS uuid[]
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM admission FOR UPDATE;
    UPDATE admission SET running = counted.running
    FROM (SELECT count(*) AS running FROM executions WHERE status = 'running') AS counted
    WHERE admission.running <> counted.running;
    RETURN admit(p_max_concurrent, p_now);
END
$$;
