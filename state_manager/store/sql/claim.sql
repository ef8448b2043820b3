-- claim: pending and ready to running, under a fencing token; the attempt is counted and the lease set.
-- Claims those of `p_satellites`, all of one execution, that may start now, and answers what their worker needs.
-- A satellite that may not start is simply not in the answer. The token is the caller's, random and fresh for each
-- call: sent again because the answer was lost, the same call finds what it has claimed.
CREATE OR REPLACE FUNCTION claim(
    p_satellites uuid[], p_token uuid, p_worker uuid, p_name text, p_lease interval, p_now timestamptz DEFAULT NULL
)
RETURNS TABLE (
    id uuid, execution_id uuid, claim uuid, name text, identifier text, attempt int,
    timeout_s float8, retry_policy json, max_attempts int, config json, input json, dependency_outputs json
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
        SET status = 'running', claim = p_token, attempt = s.attempt + 1, worker = p_worker,
            lease_expires_at = v_now + p_lease, start_time = v_now, queued_at = NULL
        WHERE s.id = ANY (p_satellites) AND s.execution_id = v_execution
          AND s.queued_at IS NOT NULL
        RETURNING s.*
    ), told AS (
        INSERT INTO events (execution_id, seq, satellite_id, kind, status, at, data)
        SELECT v_execution, v_seq + row_number() OVER (ORDER BY c.ordinal), c.id, 'started', 'running', v_now,
               json_build_object('attempt', c.attempt, 'worker', p_name)
        FROM claimed c
    ), counted AS (
        UPDATE executions SET seq = seq + (SELECT count(*) FROM claimed), updated_at = v_now
        WHERE id = v_execution AND EXISTS (SELECT FROM claimed)
    )
    SELECT c.id, v_execution, c.claim, c.name, c.identifier, c.attempt,
           c.timeout_s, c.retry_policy, c.max_attempts, c.config, c.input,
           (SELECT json_object_agg(d.name, d.output) FROM satellites d WHERE d.id = ANY (c.dependencies))
    FROM (
        SELECT * FROM claimed
        UNION ALL
        SELECT s.* FROM satellites s
        WHERE s.id = ANY (p_satellites) AND s.execution_id = v_execution AND s.status = 'running' AND s.claim = p_token
    ) AS c
    ORDER BY c.ordinal;
END
$$;
