-- as_attempt: what a worker needs of a satellite that it has claimed.
CREATE OR REPLACE FUNCTION as_attempt(s satellites) RETURNS json
LANGUAGE sql STABLE AS $$
    SELECT json_build_object(
        'id', s.id, 'execution_id', s.execution_id, 'claim', s.claim, 'name', s.name, 'identifier', s.identifier,
        'attempt', s.attempt, 'timeout_s', s.timeout_s, 'retry_policy', s.retry_policy, 'max_attempts', s.max_attempts,
        'config', s.config, 'input', s.input, 'dependency_outputs',
        (SELECT json_object_agg(d.name, d.output) FROM satellites d WHERE d.id = ANY (s.dependencies))
    )
$$;

-- claim: pending and ready to running, under a fencing token; the attempt is counted and the lease set.
-- Claims those of `p_satellites`, all of one execution, that may start now, and answers what their worker needs.
-- A satellite that may not start is simply not in the answer, nor is one that is to run alone and is not asked for
-- alone. The token is the caller's, random and fresh for each call: sent again because the answer was lost, the same
-- call finds what it has claimed.
CREATE OR REPLACE FUNCTION claim(
    p_satellites uuid[], p_token uuid, p_worker uuid, p_name text, p_lease interval, p_now timestamptz DEFAULT NULL
)
RETURNS json
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
    v_execution executions;
    v_now timestamptz;
    v_seq bigint;
    v_claimed json;
BEGIN
    -- First the lock, alone: the statements after it see whatever a rival committed while we waited.
    SELECT e.* INTO v_execution FROM executions e
    WHERE e.id = (SELECT s.execution_id FROM satellites s WHERE s.id = p_satellites[1])
    FOR NO KEY UPDATE;
    IF v_execution.status IS DISTINCT FROM 'running' THEN
        RETURN '[]';
    END IF;
    v_now := coalesce(p_now, clock_timestamp());
    SELECT * INTO v_claimed, v_seq
    FROM claim_ready(v_execution.id, p_satellites, v_execution.seq, p_token, p_worker, p_name, p_lease, v_now);
    IF v_seq = v_execution.seq THEN
        RETURN claimed_by(p_worker, p_token);
    END IF;
    UPDATE executions SET seq = v_seq, updated_at = v_now WHERE id = v_execution.id;
    RETURN v_claimed;
END
$$;

-- claim_ready: claim for a caller that holds the execution's row, knows that it runs, and writes `seq` back to it.
CREATE OR REPLACE FUNCTION claim_ready(
    p_execution uuid, p_satellites uuid[], p_seq bigint, p_token uuid, p_worker uuid, p_name text, p_lease interval,
    p_now timestamptz, OUT claimed json, OUT seq bigint
)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    WITH taken AS (
        UPDATE satellites s
        SET status = 'running', claim = p_token, attempt = s.attempt + 1, worker = p_worker,
            lease_expires_at = p_now + p_lease, start_time = p_now, queued_at = NULL
        WHERE s.id = ANY (p_satellites) AND s.execution_id = p_execution
          AND s.queued_at IS NOT NULL AND NOT (s.alone AND cardinality(p_satellites) > 1)
        RETURNING s.*
    ), logged AS (
        INSERT INTO events (execution_id, seq, satellite_id, kind, status, at, data)
        SELECT p_execution, p_seq + row_number() OVER (ORDER BY t.ordinal), t.id, 'started', 'running', p_now,
               json_build_object('attempt', t.attempt, 'worker', p_name)
        FROM taken t
    )
    SELECT coalesce(json_agg(as_attempt(t) ORDER BY t.ordinal), '[]'), p_seq + count(*) INTO claimed, seq FROM taken t;
END
$$;

-- claimed_by: what a call with this token has claimed, and its worker has not settled.
CREATE OR REPLACE FUNCTION claimed_by(p_worker uuid, p_token uuid) RETURNS json
LANGUAGE sql STABLE AS $$
    SELECT coalesce(json_agg(as_attempt(s) ORDER BY s.ordinal), '[]')
    FROM satellites s WHERE s.worker = p_worker AND s.status = 'running' AND s.claim = p_token
$$;

-- release: attempts that were claimed and not started, all of one execution, go back as if they had not been claimed.
-- Answers those that did; the others were taken away meanwhile. What may start is to be sent again: something that it
-- depends on may have been put back while it was held.
CREATE OR REPLACE FUNCTION release(
    p_satellites uuid[], p_claims uuid[], p_alone boolean DEFAULT false, p_now timestamptz DEFAULT NULL
)
RETURNS uuid[]
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
    v_execution executions;
    v_now timestamptz;
    v_released uuid[];
BEGIN
    SELECT e.* INTO v_execution FROM executions e
    WHERE e.id = (SELECT s.execution_id FROM satellites s WHERE s.id = p_satellites[1])
    FOR NO KEY UPDATE;
    v_now := coalesce(p_now, clock_timestamp());
    WITH released AS (
        UPDATE satellites s
        SET status = 'pending', claim = NULL, attempt = s.attempt - 1, worker = NULL, lease_expires_at = NULL,
            start_time = NULL, dispatches = s.dispatches + 1, alone = s.alone OR p_alone
        FROM unnest(p_satellites, p_claims) AS held(id, claim)
        WHERE s.id = held.id AND s.execution_id = v_execution.id AND s.status = 'running' AND s.claim = held.claim
        RETURNING s.id, s.ordinal, s.attempt
    ), logged AS (
        INSERT INTO events (execution_id, seq, satellite_id, kind, status, at, data)
        SELECT v_execution.id, v_execution.seq + row_number() OVER (ORDER BY r.ordinal), r.id, 'released', 'pending',
               v_now, json_build_object('attempt', r.attempt + 1)
        FROM released r
    )
    SELECT coalesce(array_agg(r.id ORDER BY r.ordinal), '{}') INTO v_released FROM released r;
    IF v_released <> '{}' THEN
        UPDATE executions SET seq = seq + cardinality(v_released), updated_at = v_now WHERE id = v_execution.id;
        PERFORM queue_if_ready(v_released, v_now);
    END IF;
    RETURN v_released;
END
$$;
