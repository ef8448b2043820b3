-- claim: pending and ready to running, each with a fresh random token; the attempt is counted and the lease set.
-- Claims those of `p_satellites`, all of one execution, that may start now, and answers what their worker needs.
-- A satellite that may not start is simply not in the answer.
CREATE OR REPLACE FUNCTION claim(
    p_satellites uuid[], p_worker text, p_lease interval, p_now timestamptz DEFAULT NULL
)
RETURNS TABLE (
    id uuid, execution_id uuid, claim uuid, name text, identifier text, attempt int,
    config json, input json, dependency_outputs json
)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    v_execution uuid;
    v_status execution_status;
    v_seq bigint;
    v_now timestamptz;
BEGIN
    SELECT s.execution_id INTO v_execution FROM satellites s WHERE s.id = p_satellites[1];
    -- First the lock, alone: the statements after it see whatever a rival committed while we waited.
    SELECT e.status, e.seq INTO v_status, v_seq FROM executions e WHERE e.id = v_execution FOR NO KEY UPDATE;
    IF v_status IS DISTINCT FROM 'running' THEN
        RETURN;
    END IF;
    v_now := coalesce(p_now, clock_timestamp());

    RETURN QUERY
    WITH claimed AS (
        UPDATE satellites s
        SET status = 'running', claim = gen_random_uuid(), attempt = s.attempt + 1, worker = p_worker,
            lease_expires_at = v_now + p_lease, start_time = v_now, not_before = NULL
        WHERE s.id = ANY (p_satellites) AND s.execution_id = v_execution
          AND s.status = 'pending' AND s.unmet = 0 AND (s.not_before IS NULL OR s.not_before <= v_now)
        RETURNING s.*
    ), told AS (
        INSERT INTO events (execution_id, seq, satellite_id, kind, status, at, data)
        SELECT v_execution, v_seq + row_number() OVER (ORDER BY c.ordinal), c.id, 'started', 'running', v_now,
               json_build_object('attempt', c.attempt, 'worker', p_worker)
        FROM claimed c
    ), counted AS (
        UPDATE executions SET seq = seq + (SELECT count(*) FROM claimed), updated_at = v_now
        WHERE id = v_execution AND EXISTS (SELECT FROM claimed)
    )
    SELECT c.id, v_execution, c.claim, c.name, c.identifier, c.attempt, c.config, c.input,
           (SELECT json_object_agg(d.name, d.output) FROM satellites d WHERE d.id = ANY (c.dependencies))
    FROM claimed c
    ORDER BY c.ordinal;
END
$$;
