-- register_worker: a process that runs satellites, and the session by which others see that it lives. Behind a
-- pooler, where the driver's idea of its backend is not the server's, or where the session cannot be seen, there is
-- no session on record, and the lease alone decides.
CREATE OR REPLACE FUNCTION register_worker(
    p_id uuid, p_parent uuid, p_pid int, p_name text, p_queues text[], p_backend_pid int
) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO workers (id, parent, pid, name, queues, session_pid, session_start, started_at, renewed_at)
    SELECT p_id, p_parent, p_pid, p_name, p_queues, a.pid, a.backend_start, clock_timestamp(), clock_timestamp()
    FROM (SELECT) AS one LEFT JOIN pg_stat_activity a
        ON a.pid = pg_backend_pid() AND a.pid = p_backend_pid AND a.backend_start IS NOT NULL
    ON CONFLICT (id) DO UPDATE
    SET session_pid = excluded.session_pid, session_start = excluded.session_start,
        queues = excluded.queues, renewed_at = excluded.renewed_at
$$;

-- renew: a worker names the attempts that it holds in memory, and their leases run on. Answers those that are no
-- longer its own, and whether the worker is on the list at all: who was silent for long has been struck off.
-- A row that a rival holds is passed over: it is being settled or stopped.
CREATE OR REPLACE FUNCTION renew(
    p_worker uuid, p_ids uuid[], p_claims uuid[], p_lease interval, p_now timestamptz DEFAULT NULL,
    OUT taken_away uuid[], OUT known boolean
)
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
    v_now timestamptz := coalesce(p_now, clock_timestamp());
BEGIN
    UPDATE workers SET renewed_at = v_now WHERE id = p_worker;
    known := FOUND;
    WITH mine AS (
        SELECT s.id FROM satellites s JOIN unnest(p_ids, p_claims) AS held(id, claim) ON held.id = s.id
        WHERE s.status = 'running' AND s.claim = held.claim
        FOR NO KEY UPDATE OF s SKIP LOCKED
    )
    UPDATE satellites s SET lease_expires_at = v_now + p_lease FROM mine WHERE s.id = mine.id;
    SELECT coalesce(array_agg(held.id), '{}') INTO taken_away
    FROM unnest(p_ids, p_claims) AS held(id, claim) LEFT JOIN satellites s ON s.id = held.id
    WHERE s.status IS DISTINCT FROM 'running' OR s.claim IS DISTINCT FROM held.claim;
END
$$;

-- expire: the attempts of workers that are gone count as failed, unless they settled or renewed in the meantime.
-- With `p_lease_over` only those whose lease is over by now; else their worker is known to be dead.
-- Attempts that were claimed together go back uncharged instead, each to be claimed alone the next time: only then is
-- it known which of them took the worker along. One execution a call; answers as settle does, with what went back
-- among the ready too. The tokens go: a worker that comes back late is refused.
CREATE OR REPLACE FUNCTION expire(
    p_outcomes json, p_lease_over boolean, p_max_concurrent int, p_now timestamptz DEFAULT NULL,
    OUT landed uuid[], OUT ready uuid[], OUT ended execution_status, OUT admitted uuid[]
)
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    v_due json;
    v_together json[];
    v_released uuid[];
BEGIN
    landed := '{}';
    ready := '{}';
    admitted := '{}';
    PERFORM FROM executions e
    WHERE e.id = (SELECT s.execution_id FROM satellites s WHERE s.id = (p_outcomes -> 0 ->> 'id')::uuid)
    FOR NO KEY UPDATE;
    WITH due AS (
        SELECT o.value, s.worker, s.claim FROM json_array_elements(p_outcomes) AS o
        JOIN satellites s ON s.id = (o.value ->> 'id')::uuid AND s.claim = (o.value ->> 'claim')::uuid
        WHERE s.status = 'running'
          AND (NOT p_lease_over OR s.lease_expires_at <= coalesce(p_now, clock_timestamp()))
        FOR NO KEY UPDATE OF s
    )
    SELECT json_agg(due.value) FILTER (WHERE s.together = 1), array_agg(due.value) FILTER (WHERE s.together > 1)
    INTO v_due, v_together FROM due CROSS JOIN LATERAL (
        SELECT count(*) AS together FROM satellites s
        WHERE s.worker = due.worker AND s.status = 'running' AND s.claim = due.claim
    ) AS s;
    IF v_due IS NOT NULL THEN
        SELECT s.landed, s.ready, s.ended, s.admitted INTO landed, ready, ended, admitted
        FROM settle(v_due, p_max_concurrent, NULL, p_now) AS s;
        UPDATE satellites SET claim = NULL WHERE id = ANY (landed) AND status <> 'running';
    END IF;
    IF v_together IS NOT NULL THEN
        v_released := release(
            ARRAY(SELECT (value ->> 'id')::uuid FROM unnest(v_together) AS value),
            ARRAY(SELECT (value ->> 'claim')::uuid FROM unnest(v_together) AS value), true, p_now
        );
        landed := landed || v_released;
        ready := ready || ARRAY(SELECT id FROM satellites WHERE id = ANY (v_released) AND queued_at IS NOT NULL);
    END IF;
END
$$;
