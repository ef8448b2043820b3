-- skip_descendants: what can no longer run after `p_failed` is skipped; under fail_fast everything unstarted is,
-- and what runs is cancelled. The caller holds the execution's row.
CREATE OR REPLACE FUNCTION skip_descendants(
    p_execution uuid, p_policy failure_policy, p_seq bigint, p_failed uuid[], p_now timestamptz,
    OUT seq bigint, OUT skipped uuid[], OUT cancelled uuid[]
)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    WITH RECURSIVE lost(id) AS (
        SELECT d.id
        FROM satellites f CROSS JOIN unnest(f.dependents) AS behind(id) JOIN satellites d ON d.id = behind.id
        WHERE f.id = ANY (p_failed) AND d.status = 'pending' AND d.run_when = 'all_success'
        UNION
        SELECT d.id
        FROM lost JOIN satellites f ON f.id = lost.id
        CROSS JOIN unnest(f.dependents) AS behind(id) JOIN satellites d ON d.id = behind.id
        WHERE d.status = 'pending' AND d.run_when = 'all_success'
    ), skipped_now AS (
        UPDATE satellites s
        SET status = CASE WHEN s.status = 'running' THEN 'cancelled' ELSE 'skipped' END::satellite_status,
            reason = CASE WHEN s.status = 'running' THEN NULL
                          WHEN s.id IN (SELECT id FROM lost) THEN 'upstream' ELSE 'fail_fast' END,
            claim = NULL, lease_expires_at = NULL, not_before = NULL, queued_at = NULL, held = NULL, end_time = p_now
        WHERE s.execution_id = p_execution
          AND (s.id IN (SELECT id FROM lost) OR p_policy = 'fail_fast' AND s.status IN ('pending', 'running'))
        RETURNING s.id, s.ordinal, s.status, s.reason
    ), logged AS (
        INSERT INTO events (execution_id, seq, satellite_id, kind, status, at, data)
        SELECT p_execution, p_seq + row_number() OVER (ORDER BY g.ordinal), g.id,
               g.status::text, g.status::text, p_now,
               CASE WHEN g.reason IS NOT NULL THEN json_build_object('reason', g.reason) END
        FROM skipped_now g
    )
    SELECT p_seq + count(*), coalesce(array_agg(g.id) FILTER (WHERE g.status = 'skipped'), '{}'),
           coalesce(array_agg(g.id) FILTER (WHERE g.status = 'cancelled'), '{}')
    INTO seq, skipped, cancelled FROM skipped_now g;
    IF cancelled <> '{}' THEN
        PERFORM pg_notify('interrupt', p_execution::text);
    END IF;
END
$$;

-- decrement_unmet: lower `unmet` behind satellites that ended, whatever the dependents' own status: it always equals
-- the number of dependencies not yet satisfied, and is never recounted. Queues and answers those that became ready: in
-- the same update, which costs less than `queue_if_ready` after it where a thousand wait for one, and by the row that
-- is updated.
-- With `p_budget` its worker goes on with some of them, `claimed` in the same update: those on its own queues,
-- in the order of the document; the first, whatever it is, and behind it what it knows to be short, until its time is
-- full. `p_budget` has the claim's `token`, `worker`, `name` and `lease_s`; `time_ms`, the longest time of them all;
-- `durations_ms`, the usual milliseconds of a satellite by its type; `queues`; `limit`, a number of satellites, and
-- `max_input_bytes`, as in `claim`.
CREATE OR REPLACE FUNCTION decrement_unmet(
    p_execution uuid, p_completed uuid[], p_lost uuid[], p_seq bigint, p_budget json, p_now timestamptz,
    OUT ready uuid[], OUT claimed json, OUT seq bigint
)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    v_token uuid := p_budget ->> 'token';
    v_worker uuid := p_budget ->> 'worker';
    v_name text := p_budget ->> 'name';
    v_lease_end timestamptz := p_now + make_interval(secs => (p_budget ->> 'lease_s')::float8);
    v_queues text[] := ARRAY(SELECT json_array_elements_text(p_budget -> 'queues'));
    v_durations_ms json := p_budget -> 'durations_ms';
    v_time_ms float8 := p_budget ->> 'time_ms';
    v_limit int := p_budget ->> 'limit';
    v_max_input_bytes bigint := p_budget ->> 'max_input_bytes';
BEGIN
    WITH satisfied AS (
        -- A parent waits for the end of its children, however they end.
        SELECT behind.id, count(*) AS by_end,
               count(*) FILTER (WHERE e.id = ANY (p_completed) OR behind.id = e.parent) AS by_success,
               sum(e.output_bytes) AS bytes
        FROM satellites e
        CROSS JOIN unnest(CASE WHEN e.parent IS NULL THEN e.dependents ELSE e.dependents || e.parent END) AS behind(id)
        WHERE e.id = ANY (p_completed || p_lost)
        GROUP BY behind.id
    ), lowering AS (
        SELECT d.id, d.ordinal, d.identifier, by, bytes, d.input_bytes + bytes AS input_bytes,
               is_ready(d.status, d.unmet - by::int, d.not_before, d.held) AND d.queue = ANY (v_queues) AND NOT d.alone
               AS claimable
        FROM satisfied JOIN satellites d USING (id)
        CROSS JOIN LATERAL (SELECT CASE d.run_when WHEN 'all_done' THEN by_end ELSE by_success END AS by) AS how
        WHERE by > 0
    ), fitting AS (
        SELECT l.id, l.by, l.bytes, l.claimable AND row_number() OVER place <= v_limit AND (
                   row_number() OVER place = 1
                   OR sum(coalesce(v_durations_ms ->> l.identifier, 'infinity')::float8) OVER place <= v_time_ms
               ) AND sum(CASE WHEN l.input_bytes <= v_max_input_bytes THEN l.input_bytes ELSE 0 END) OVER place
                     <= v_max_input_bytes AS fits
        FROM lowering l WINDOW place AS (PARTITION BY l.claimable ORDER BY l.ordinal)
    ), lowered AS (
        UPDATE satellites d
        SET unmet = d.unmet - f.by, input_bytes = d.input_bytes + f.bytes,
            queued_at = CASE WHEN NOT f.fits AND is_ready(d.status, d.unmet - f.by::int, d.not_before, d.held)
                             THEN p_now END,
            status = CASE WHEN f.fits THEN 'running' ELSE d.status END,
            claim = CASE WHEN f.fits THEN v_token ELSE d.claim END,
            attempt = d.attempt + f.fits::int,
            worker = CASE WHEN f.fits THEN v_worker ELSE d.worker END,
            lease_expires_at = CASE WHEN f.fits THEN v_lease_end ELSE d.lease_expires_at END,
            start_time = CASE WHEN NOT f.fits THEN d.start_time
                              WHEN d.children > 0 THEN coalesce(d.start_time, p_now) ELSE p_now END
        FROM fitting f
        WHERE d.id = f.id
        RETURNING d.*
    ), logged AS (
        INSERT INTO events (execution_id, seq, satellite_id, kind, status, at, data)
        SELECT p_execution, p_seq + row_number() OVER (ORDER BY l.ordinal), l.id, 'started', 'running', p_now,
               json_build_object('attempt', l.attempt, 'worker', v_name)
        FROM lowered l WHERE l.claim = v_token
    )
    SELECT coalesce(array_agg(l.id ORDER BY l.ordinal) FILTER (WHERE l.queued_at IS NOT NULL), '{}'),
           coalesce(json_agg(as_attempt(l, v_max_input_bytes) ORDER BY l.ordinal) FILTER (WHERE l.claim = v_token), '[]'),
           p_seq + count(*) FILTER (WHERE l.claim = v_token)
    INTO ready, claimed, seq FROM lowered l;
END
$$;

-- ready_behind: what a lost answer would have called ready: the unclaimed behind `p_ended`, through the skipped, and
-- the children that it was expanded into.
CREATE OR REPLACE FUNCTION ready_behind(p_ended uuid[]) RETURNS SETOF uuid
LANGUAGE sql STABLE AS $$
    WITH RECURSIVE behind(id, status, queued_at, ordinal) AS (
        SELECT d.id, d.status, d.queued_at, d.ordinal
        FROM satellites e CROSS JOIN unnest(e.dependents || e.parent) AS next(id) JOIN satellites d ON d.id = next.id
        WHERE e.id = ANY (p_ended)
        UNION
        SELECT c.id, c.status, c.queued_at, c.ordinal FROM satellites c WHERE c.parent = ANY (p_ended)
        UNION
        SELECT d.id, d.status, d.queued_at, d.ordinal
        FROM behind JOIN satellites e ON e.id = behind.id AND behind.status = 'skipped'
        CROSS JOIN unnest(e.dependents) AS next(id) JOIN satellites d ON d.id = next.id
    )
    SELECT id FROM behind WHERE queued_at IS NOT NULL ORDER BY ordinal
$$;
