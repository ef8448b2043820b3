-- start_execution: pending to running. The caller holds the execution's row and has counted it in `admission`.
-- Not before its submission: `p_now` may be of a settle that waited for the counter, or for a pause, meanwhile.
CREATE OR REPLACE FUNCTION start_execution(p_execution uuid, p_now timestamptz) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    WITH started AS (
        UPDATE executions SET status = 'running', seq = seq + 1, started_at = greatest(p_now, updated_at),
            updated_at = greatest(p_now, updated_at),
            times_out_at = greatest(p_now, updated_at) + make_interval(secs => least(timeout_s, 1e9))
        WHERE id = p_execution
        RETURNING id, seq, started_at
    )
    INSERT INTO events (execution_id, seq, kind, status, at)
    SELECT id, seq, 'started', 'running', started_at FROM started;
END
$$;

-- admit: start the executions that have waited longest, as many as may run; answers their ids.
-- A row that a rival holds is passed over: two callers never wait for each other's executions. One that cannot be
-- started is cancelled, and says why: its callers settle and stop other executions, which it must not keep from that.
CREATE OR REPLACE FUNCTION admit(p_max_concurrent int, p_now timestamptz DEFAULT NULL) RETURNS uuid[]
LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := coalesce(p_now, clock_timestamp());
    v_free int;
    v_id uuid;
    v_admitted uuid[] := '{}';
BEGIN
    SELECT p_max_concurrent - running INTO v_free FROM admission FOR UPDATE;
    WHILE v_free > 0 LOOP
        SELECT id INTO v_id FROM executions WHERE status = 'pending'
        ORDER BY id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED;
        EXIT WHEN NOT FOUND;
        BEGIN
            PERFORM start_execution(v_id, v_now);
            PERFORM queue_if_ready(ARRAY(SELECT id FROM satellites WHERE execution_id = v_id AND unmet = 0), v_now);
            v_admitted := v_admitted || v_id;
            v_free := v_free - 1;
        EXCEPTION WHEN data_exception OR integrity_constraint_violation OR program_limit_exceeded THEN
            PERFORM stop(v_id, 'cancelled', 'it could not be started: ' || SQLERRM, p_max_concurrent, v_now);
        END;
    END LOOP;
    UPDATE admission SET running = running + cardinality(v_admitted) WHERE v_admitted <> '{}';
    RETURN v_admitted;
END
$$;

-- repair_admission: recount the running executions, and admit those that wait while fewer run than may.
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
