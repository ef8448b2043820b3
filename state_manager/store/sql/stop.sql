-- stop: end an execution from outside, as `cancelled` or, past its time, as `failed` with an error. What has not
-- started and what runs is cancelled with it; the workers that run it are woken, and refused what they report later.
-- One that has not started cannot fail: it is cancelled, and has the error.
-- With `p_if_late` only where its time is over by now: a retry may have given it more since its caller looked.
-- Answers the previous status (null: no such execution), whether this call ended it, and who was let in for it.
CREATE OR REPLACE FUNCTION stop(
    p_execution uuid, p_status execution_status, p_error text, p_max_concurrent int, p_now timestamptz DEFAULT NULL,
    p_if_late boolean DEFAULT false,
    OUT previous execution_status, OUT stopped boolean, OUT admitted uuid[]
)
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    v_now timestamptz;
    v_times_out_at timestamptz;
    v_seq bigint;
    v_ended uuid[];
BEGIN
    admitted := '{}';
    SELECT e.status, e.seq, e.times_out_at INTO previous, v_seq, v_times_out_at
    FROM executions e WHERE e.id = p_execution FOR NO KEY UPDATE;
    v_now := coalesce(p_now, clock_timestamp());
    IF previous = 'pending' THEN
        p_status := 'cancelled';
    END IF;
    stopped := coalesce(previous IN ('pending', 'running') AND (NOT p_if_late OR v_times_out_at <= v_now), false);
    IF NOT stopped THEN
        RETURN;
    END IF;

    WITH ended AS (
        UPDATE satellites s
        SET status = 'cancelled', claim = NULL, lease_expires_at = NULL, not_before = NULL, queued_at = NULL,
            held = NULL, end_time = v_now
        WHERE s.execution_id = p_execution AND s.status IN ('pending', 'running')
        RETURNING s.id, s.ordinal
    ), logged AS (
        INSERT INTO events (execution_id, seq, satellite_id, kind, status, at)
        SELECT p_execution, v_seq + row_number() OVER (ORDER BY e.ordinal), e.id, 'cancelled', 'cancelled', v_now
        FROM ended e
    )
    SELECT coalesce(array_agg(e.id), '{}') INTO v_ended FROM ended e;
    PERFORM decrement_unmet(p_execution, '{}', v_ended, v_seq, NULL, v_now);

    v_seq := v_seq + cardinality(v_ended) + 1;
    INSERT INTO events (execution_id, seq, kind, status, at, data)
    VALUES (p_execution, v_seq, p_status::text, p_status::text, v_now,
            CASE WHEN p_error IS NOT NULL THEN json_build_object('error', p_error) END);
    UPDATE executions e
    SET status = p_status, error = p_error, cancelled = e.cancelled + cardinality(v_ended), seq = v_seq,
        updated_at = v_now, finished_at = v_now
    WHERE e.id = p_execution;
    PERFORM pg_notify('interrupt', p_execution::text);
    IF previous = 'running' THEN
        UPDATE admission SET running = running - 1;
        admitted := admit(p_max_concurrent, v_now);
    END IF;
END
$$;
