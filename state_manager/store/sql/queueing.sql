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

-- take_lost_messages: a queue's satellites that have been ready since before `p_before` and are unclaimed, when a probe of
-- that moment has come out of the queue: they were behind nothing any more, so their messages are lost.
CREATE OR REPLACE FUNCTION take_lost_messages(p_queue text, p_before timestamptz, p_limit int)
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
