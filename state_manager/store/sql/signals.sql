-- send_signal: keep a signal for an execution, and give it to the satellite that has waited longest for one of this name,
-- which then runs at once. Where nobody waits it is kept, first in, first out. `answer` is
--   sent      kept, now or by an earlier call with the same key
--   other     the idempotency key was used for another signal
--   ended     the execution has ended; `status` says how, and is null where there is no such execution
--   full      `p_limit` signals of the execution wait to be received already
CREATE OR REPLACE FUNCTION send_signal(
    p_execution uuid, p_name text, p_payload json, p_key text, p_limit int, p_now timestamptz DEFAULT NULL,
    OUT answer text, OUT status execution_status, OUT signal_id bigint, OUT satellite_id uuid, OUT sent_at timestamptz,
    OUT ready uuid[]
)
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    v_seq bigint;
    v_satellite uuid;
    v_same boolean;
BEGIN
    ready := '{}';
    -- First the lock: a satellite that begins to wait, or goes back to wait, does so before or after this.
    SELECT e.status, e.seq INTO status, v_seq FROM executions e WHERE e.id = p_execution FOR NO KEY UPDATE;
    SELECT g.id, g.satellite_id, g.sent_at, g.name = p_name AND g.payload::text = p_payload::text
    INTO signal_id, satellite_id, sent_at, v_same
    FROM signals g WHERE g.execution_id = p_execution AND g.idempotency_key = p_key;
    answer := CASE WHEN v_same THEN 'sent' WHEN NOT v_same THEN 'other' WHEN status NOT IN ('pending', 'running') THEN 'ended'
                   WHEN status IS NULL THEN 'ended' END;
    IF answer IS NOT NULL THEN
        RETURN;
    END IF;
    IF (SELECT count(*) FROM signals g WHERE g.execution_id = p_execution AND g.satellite_id IS NULL) >= p_limit THEN
        answer := 'full';
        RETURN;
    END IF;
    sent_at := coalesce(p_now, clock_timestamp());
    SELECT w.satellite_id INTO v_satellite
    FROM signal_waits w JOIN satellites s ON s.id = w.satellite_id
    WHERE w.execution_id = p_execution AND w.name = p_name AND s.status IN ('pending', 'running')
      AND NOT EXISTS (SELECT FROM signals g WHERE g.satellite_id = w.satellite_id)
    ORDER BY w.since, s.ordinal LIMIT 1;
    INSERT INTO signals (execution_id, name, payload, sent_at, satellite_id, idempotency_key)
    VALUES (p_execution, p_name, p_payload, sent_at, v_satellite, p_key)
    RETURNING id INTO signal_id;
    INSERT INTO events (execution_id, seq, kind, status, at, data)
    VALUES (p_execution, v_seq + 1, 'signalled', status::text, sent_at, json_build_object('name', p_name));
    UPDATE executions e SET seq = v_seq + 1, updated_at = sent_at WHERE e.id = p_execution;
    answer := 'sent';
    satellite_id := v_satellite;
    IF v_satellite IS NOT NULL THEN
        PERFORM end_signalled_waits(ARRAY[v_satellite]);
        ready := queue_if_ready(ARRAY[v_satellite], sent_at);
    END IF;
END
$$;

-- end_signalled_waits: of these satellites, those that have a signal run at once instead of when their wait is over.
-- The caller holds the execution's row, and queues them next. `settle` calls this too: a signal may come between the
-- look for one and the end of the attempt that found none.
CREATE OR REPLACE FUNCTION end_signalled_waits(p_satellites uuid[]) RETURNS void
LANGUAGE sql AS $$
    UPDATE satellites s SET not_before = NULL, dispatches = s.dispatches + 1
    WHERE s.id = ANY (p_satellites) AND s.status = 'pending' AND s.not_before IS NOT NULL
      AND EXISTS (SELECT FROM signals g WHERE g.satellite_id = s.id)
$$;

-- receive_signal: the signal that was given to this satellite, else the first of its name that nobody was given, which
-- it is given now: a repeated attempt receives the same one. `left_s`: else, how long it may wait on, from its first
-- call; null without a timeout, and 0 when the time is over, so that its next call begins a wait anew.
CREATE OR REPLACE FUNCTION receive_signal(
    p_satellite uuid, p_name text, p_timeout_s float8, p_now timestamptz DEFAULT NULL,
    OUT received boolean, OUT payload json, OUT left_s float8
)
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    v_execution uuid;
    v_now timestamptz;
    v_signal bigint;
    v_since timestamptz;
BEGIN
    SELECT e.id INTO v_execution FROM executions e
    WHERE e.id = (SELECT s.execution_id FROM satellites s WHERE s.id = p_satellite)
    FOR NO KEY UPDATE;
    v_now := coalesce(p_now, clock_timestamp());
    SELECT g.id, g.payload INTO v_signal, payload FROM signals g WHERE g.satellite_id = p_satellite;
    IF v_signal IS NULL THEN
        UPDATE signals g SET satellite_id = p_satellite
        WHERE g.id = (
            SELECT f.id FROM signals f
            WHERE f.execution_id = v_execution AND f.name = p_name AND f.satellite_id IS NULL
            ORDER BY f.id LIMIT 1
        ) AND EXISTS (SELECT FROM satellites s WHERE s.id = p_satellite AND s.status = 'running')
        RETURNING g.id, g.payload INTO v_signal, payload;
    END IF;
    received := v_signal IS NOT NULL;
    IF NOT received THEN
        INSERT INTO signal_waits (satellite_id, execution_id, name, since)
        VALUES (p_satellite, v_execution, p_name, v_now)
        ON CONFLICT (satellite_id) DO UPDATE SET name = p_name
        RETURNING since INTO v_since;
        left_s := CASE WHEN p_timeout_s IS NOT NULL THEN
            greatest(p_timeout_s - extract(epoch FROM v_now - v_since), 0)
        END;
    END IF;
    IF received OR left_s = 0 THEN
        DELETE FROM signal_waits w WHERE w.satellite_id = p_satellite;
    END IF;
END
$$;
