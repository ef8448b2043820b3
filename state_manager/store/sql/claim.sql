-- as_attempt: what a worker needs of a satellite that it has claimed. Without the outputs of its dependencies where
-- they are too large together: a JSON value holds a gigabyte at most, and the call would fail each time it is tried.
CREATE OR REPLACE FUNCTION as_attempt(s satellites, p_max_input_bytes bigint) RETURNS json
LANGUAGE sql STABLE AS $$
    SELECT json_build_object(
        'id', s.id, 'execution_id', s.execution_id, 'claim', s.claim, 'name', s.name, 'identifier', s.identifier,
        'attempt', s.attempt, 'timeout_s', s.timeout_s, 'retry_policy', s.retry_policy, 'max_attempts', s.max_attempts,
        'config', s.config, 'input', s.input, 'input_bytes', s.input_bytes, 'dependency_outputs',
        CASE WHEN s.input_bytes <= p_max_input_bytes THEN
            (SELECT json_object_agg(d.name, d.output) FROM satellites d WHERE d.id = ANY (s.dependencies))
        END,
        'dynamic', s.dynamic, 'children', s.children, 'index', s.index, 'item', s.item
    )
$$;

-- claim: pending and ready to running, under a fencing token; the attempt is counted and the lease set.
-- Claims those of `p_satellites`, all of one execution, that may start now, and answers what their worker needs.
-- A satellite that may not start is simply not in the answer, nor is one that is to run alone and is not asked for
-- alone, nor are those whose inputs would take the answer beyond `p_max_input_bytes`. The token is the caller's, random
-- and fresh for each call: sent again because the answer was lost, the same call answers all that it has claimed.
CREATE OR REPLACE FUNCTION claim(
    p_satellites uuid[], p_token uuid, p_worker uuid, p_name text, p_lease interval, p_max_input_bytes bigint,
    p_now timestamptz DEFAULT NULL
)
RETURNS json
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
    v_execution executions;
    v_now timestamptz;
    v_count int;
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
    WITH fitting AS (
        -- One that is too large by itself comes without its inputs, so it takes no room.
        SELECT s.id, sum(CASE WHEN s.input_bytes <= p_max_input_bytes THEN s.input_bytes ELSE 0 END)
                     OVER (ORDER BY s.ordinal) AS bytes
        FROM satellites s
        WHERE s.id = ANY (p_satellites) AND s.execution_id = v_execution.id
          AND s.queued_at IS NOT NULL AND NOT (s.alone AND cardinality(p_satellites) > 1)
    ), taken AS (
        UPDATE satellites s
        SET status = 'running', claim = p_token, attempt = s.attempt + 1, worker = p_worker,
            lease_expires_at = v_now + p_lease, queued_at = NULL,
            -- A parent began with its expansion.
            start_time = CASE WHEN s.children > 0 THEN coalesce(s.start_time, v_now) ELSE v_now END
        FROM fitting f
        WHERE s.id = f.id AND f.bytes <= p_max_input_bytes
        RETURNING s.*
    ), logged AS (
        INSERT INTO events (execution_id, seq, satellite_id, kind, status, at, data)
        SELECT t.execution_id, v_execution.seq + row_number() OVER (ORDER BY t.ordinal), t.id, 'started', 'running',
               v_now, json_build_object('attempt', t.attempt, 'worker', p_name)
        FROM taken t
    )
    SELECT json_agg(as_attempt(t, p_max_input_bytes) ORDER BY t.ordinal), count(*) INTO v_claimed, v_count FROM taken t;
    IF v_count > 0 THEN
        UPDATE executions SET seq = seq + v_count, updated_at = v_now WHERE id = v_execution.id;
    END IF;
    IF v_count < cardinality(p_satellites) THEN
        RETURN claimed_by(p_worker, p_token, p_max_input_bytes);
    END IF;
    RETURN v_claimed;
END
$$;

-- claimed_by: what a call with this token has claimed, and its worker has not settled.
CREATE OR REPLACE FUNCTION claimed_by(p_worker uuid, p_token uuid, p_max_input_bytes bigint) RETURNS json
LANGUAGE sql STABLE AS $$
    SELECT coalesce(json_agg(as_attempt(s, p_max_input_bytes) ORDER BY s.ordinal), '[]')
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
