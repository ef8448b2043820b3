-- is_ready: whether a satellite of a running execution may start. The one place that says so.
CREATE OR REPLACE FUNCTION is_ready(
    p_status satellite_status, p_unmet int, p_not_before timestamptz, p_held boolean
) RETURNS boolean
LANGUAGE sql IMMUTABLE AS $$
    SELECT p_status = 'pending' AND p_unmet = 0 AND p_not_before IS NULL AND p_held IS NOT TRUE
$$;

-- queue_if_ready: queue those of these satellites that may start now, and answer them in the document's order.
-- A transition changes its rows first, and calls this in a statement of its own, whose snapshot has whatever rivals
-- committed. Its caller holds their execution's lock: of two transitions that remove the last two obstacles the later
-- one sees what the other did.
CREATE OR REPLACE FUNCTION queue_if_ready(p_satellites uuid[], p_now timestamptz) RETURNS uuid[]
LANGUAGE plpgsql AS $$
DECLARE
    v_queued uuid[];
BEGIN
    IF p_satellites = '{}' THEN
        RETURN p_satellites;
    END IF;
    WITH queued AS (
        UPDATE satellites s SET queued_at = p_now
        WHERE s.id = ANY (p_satellites) AND is_ready(s.status, s.unmet, s.not_before, s.held) AND s.queued_at IS NULL
          AND (SELECT e.status FROM executions e WHERE e.id = s.execution_id) = 'running'
        RETURNING s.id, s.ordinal
    )
    SELECT coalesce(array_agg(q.id ORDER BY q.ordinal), '{}') INTO v_queued FROM queued q;
    RETURN v_queued;
END
$$;

-- due: satellites whose wait for the next attempt is over, the earliest first, and none of the executions `p_without`.
CREATE OR REPLACE FUNCTION due(p_limit int, p_without uuid[], p_now timestamptz DEFAULT NULL)
RETURNS TABLE (execution_id uuid, id uuid)
LANGUAGE sql STABLE
SET enable_seqscan = off AS $$
    SELECT s.execution_id, s.id FROM satellites s
    WHERE s.not_before <= coalesce(p_now, clock_timestamp()) AND s.execution_id <> ALL (p_without)
    ORDER BY s.not_before LIMIT p_limit
$$;

-- fire_due: of these satellites, all of one execution, those whose wait before the next attempt is over become ready,
-- and are to be sent; unless something that they depend on was put back meanwhile, which they wait for again.
CREATE OR REPLACE FUNCTION fire_due(p_satellites uuid[], p_now timestamptz DEFAULT NULL)
RETURNS TABLE (id uuid, execution_id uuid, queue text, identifier text, dispatches int, alone boolean)
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    v_execution uuid;
    v_now timestamptz;
    v_fired uuid[];
BEGIN
    SELECT e.id INTO v_execution FROM executions e
    WHERE e.id = (SELECT s.execution_id FROM satellites s WHERE s.id = p_satellites[1])
    FOR NO KEY UPDATE;
    v_now := coalesce(p_now, clock_timestamp());
    WITH fired AS (
        UPDATE satellites s SET not_before = NULL, dispatches = s.dispatches + 1
        WHERE s.id = ANY (p_satellites) AND s.execution_id = v_execution AND s.not_before <= v_now
        RETURNING s.id
    )
    SELECT coalesce(array_agg(f.id), '{}') INTO v_fired FROM fired f;
    v_fired := queue_if_ready(v_fired, v_now);
    RETURN QUERY
    SELECT s.id, s.execution_id, s.queue, s.identifier, s.dispatches, s.alone FROM satellites s
    WHERE s.id = ANY (v_fired) ORDER BY s.ordinal;
END
$$;

-- take_lost_messages: a queue's satellites that have been ready since before `p_before` and are unclaimed, when a
-- probe of that moment has come out of the queue: they were behind nothing any more, so their messages are lost.
CREATE OR REPLACE FUNCTION take_lost_messages(p_queue text, p_before timestamptz, p_limit int)
RETURNS TABLE (id uuid, execution_id uuid, queue text, identifier text, dispatches int, alone boolean)
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH lost AS (
        -- One that is queued in the future was so before the clock jumped back; `queue_later` means seconds.
        SELECT s.id FROM satellites s
        WHERE s.queue = p_queue
          AND (s.queued_at < p_before OR s.queued_at > clock_timestamp() + interval '10 min')
        ORDER BY s.queued_at LIMIT p_limit FOR NO KEY UPDATE SKIP LOCKED
    )
    UPDATE satellites s SET queued_at = clock_timestamp(), dispatches = s.dispatches + 1
    FROM lost WHERE s.id = lost.id
    RETURNING s.id, s.execution_id, s.queue, s.identifier, s.dispatches, s.alone;
END
$$;
