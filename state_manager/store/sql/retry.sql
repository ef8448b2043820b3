-- retry: put back what failed, so that an execution resumes where it failed and keeps what is done.
-- `p_satellite` null asks for all that failed; a parent stands for its failed children, and comes back with any of them.
-- With them come those that `fail_fast` or a timeout had cancelled, and those skipped whose every failed, skipped or
-- cancelled ancestor comes back too (not those that their own `if`, or `Prune`, has skipped). Attempts go on counting;
-- the limit is raised. An `all_done` satellite that already ran is not run again.
-- Answers the execution's previous status (null: no such execution), what came back, and what of it may start.
CREATE OR REPLACE FUNCTION retry(
    p_execution uuid, p_satellite uuid DEFAULT NULL, p_now timestamptz DEFAULT NULL,
    OUT previous execution_status, OUT revived uuid[], OUT ready uuid[]
)
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    v_now timestamptz;
    v_seq bigint;
    v_failed int;
    v_skipped int;
    v_cancelled int;
    v_parent uuid;
BEGIN
    revived := '{}';
    ready := '{}';
    SELECT e.status, e.seq INTO previous, v_seq FROM executions e WHERE e.id = p_execution FOR NO KEY UPDATE;
    IF previous IS NULL OR previous NOT IN ('running', 'failed') THEN
        RETURN;
    END IF;
    IF p_satellite IS NOT NULL AND NOT EXISTS (
        SELECT FROM satellites s
        WHERE s.id = p_satellite AND s.execution_id = p_execution AND s.status IN ('failed', 'cancelled')
    ) THEN
        RETURN;
    END IF;
    v_now := coalesce(p_now, clock_timestamp());

    WITH RECURSIVE named(id) AS (
        SELECT s.id FROM satellites s
        WHERE s.execution_id = p_execution
          AND (s.status = 'failed' AND (p_satellite IS NULL OR s.id = p_satellite) OR s.status = 'cancelled')
        UNION
        -- A parent's failure is that of its children.
        SELECT c.id FROM named JOIN satellites c ON c.parent = named.id WHERE c.status = 'failed'
    ), asked(id) AS (
        SELECT id FROM named
        UNION
        -- Only its parent can use what a child returns.
        SELECT p.id FROM asked JOIN satellites c ON c.id = asked.id JOIN satellites p ON p.id = c.parent
        WHERE p.status = 'failed'
    ), blocked(id) AS (
        SELECT s.id FROM satellites s
        WHERE s.execution_id = p_execution AND s.id NOT IN (SELECT id FROM asked)
          AND (s.status = 'failed' OR s.status = 'skipped' AND s.reason IN ('if', 'prune'))
        UNION
        SELECT d.id
        FROM blocked JOIN satellites b ON b.id = blocked.id
        CROSS JOIN unnest(b.dependents) AS behind(id) JOIN satellites d ON d.id = behind.id
        WHERE d.status = 'skipped' AND d.run_when = 'all_success'
    )
    SELECT coalesce(array_agg(s.id), '{}'), count(*) FILTER (WHERE s.status = 'failed'),
           count(*) FILTER (WHERE s.status = 'skipped'), count(*) FILTER (WHERE s.status = 'cancelled')
    INTO revived, v_failed, v_skipped, v_cancelled
    FROM satellites s
    WHERE s.execution_id = p_execution
      AND (s.id IN (SELECT id FROM asked) OR s.status = 'skipped' AND s.id NOT IN (SELECT id FROM blocked));
    IF v_failed + v_cancelled = 0 THEN
        revived := '{}';
        RETURN;
    END IF;

    DELETE FROM signal_waits w WHERE w.satellite_id = ANY (revived);  -- their time begins anew

    -- What waits for every end, not for success, waits again: whatever its own state.
    -- So does a parent for its children.
    UPDATE satellites d
    SET unmet = d.unmet + CASE d.run_when WHEN 'all_done' THEN again.all ELSE again.children END,
        queued_at = NULL, dispatches = d.dispatches + (d.queued_at IS NOT NULL)::int
    FROM (
        SELECT behind.id, count(*) AS all, count(*) FILTER (WHERE behind.id = s.parent) AS children
        FROM satellites s CROSS JOIN unnest(s.dependents || s.parent) AS behind(id)
        WHERE s.id = ANY (revived) GROUP BY behind.id
    ) AS again
    WHERE d.id = again.id AND (d.run_when = 'all_done' OR again.children > 0);

    WITH back AS (
        UPDATE satellites s
        SET status = 'pending', reason = NULL, output = NULL, output_bytes = 0, error = NULL, error_kind = NULL,
            traceback = NULL, claim = NULL, start_time = NULL, end_time = NULL, duration_ms = NULL,
            resource_usage = NULL, max_attempts = s.attempt + (s.retry_policy ->> 'max_attempts')::int,
            dispatches = s.dispatches + 1,
            held = CASE WHEN s.parent IS NOT NULL THEN (
                SELECT true FROM satellites p WHERE p.id = s.parent AND p.dynamic ->> 'max_parallel' IS NOT NULL
            ) END
        WHERE s.id = ANY (revived)
        RETURNING s.id, s.ordinal
    )
    INSERT INTO events (execution_id, seq, satellite_id, kind, status, at)
    SELECT p_execution, v_seq + 1 + row_number() OVER (ORDER BY b.ordinal), b.id, 'retried', 'pending', v_now
    FROM back b;

    INSERT INTO events (execution_id, seq, kind, status, at)
    VALUES (p_execution, v_seq + 1, 'retried', 'running', v_now);
    UPDATE executions e
    SET status = 'running', error = NULL, failed = e.failed - v_failed, skipped = e.skipped - v_skipped,
        cancelled = e.cancelled - v_cancelled, seq = v_seq + 1 + cardinality(revived), updated_at = v_now,
        finished_at = NULL, times_out_at = v_now + make_interval(secs => least(e.timeout_s, 1e9))
    WHERE e.id = p_execution;
    ready := queue_if_ready(revived, v_now);
    FOR v_parent IN
        SELECT DISTINCT s.parent FROM satellites s WHERE s.id = ANY (revived) AND s.held
    LOOP
        ready := ready || open_items(v_parent, v_now);
    END LOOP;
    IF previous = 'failed' THEN
        UPDATE admission SET running = running + 1;
    END IF;
END
$$;
