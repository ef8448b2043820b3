-- settle: the outcomes of attempts, all of one execution. Answers
--   landed    the satellites whose outcome is recorded, now or by an earlier call with the same token
--   ready     the satellites that may start because of it
--   ended     the execution's final status, if this call ended it
--   admitted  the executions that were let in because of that
--   claimed   what its worker goes on with: those of the ready that `decrement_unmet` claimed, as they fit `p_budget`
-- A failure that says `retry_after_s`, with attempts left, puts its satellite back to wait for the next one.
-- An outcome whose token is not the row's belongs to an attempt that was taken away: it changes nothing.
CREATE OR REPLACE FUNCTION settle(
    p_outcomes json, p_max_concurrent int, p_budget json DEFAULT NULL, p_now timestamptz DEFAULT NULL,
    OUT landed uuid[], OUT ready uuid[], OUT ended execution_status, OUT admitted uuid[], OUT claimed json
)
LANGUAGE plpgsql
-- Planned once, by keys: planning anew took longer than running, and statistics lag behind a load (decision 0012).
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    v_execution executions;
    v_now timestamptz;
    -- Its worker counts back from when it sent this, however long we wait for the lock.
    v_sent timestamptz := coalesce(p_now, statement_timestamp());
    v_completed uuid[];
    v_failed uuid[];
    v_again uuid[];
    v_pruned uuid[];
    v_limited uuid[];
    v_expanded json[];
    v_max_total int;
    v_count int := 0;
    v_queued uuid[];
    v_parent uuid;
    v_children json;
    v_skipped uuid[] := '{}';
    v_cancelled uuid[] := '{}';
    v_repeated uuid[] := '{}';
BEGIN
    admitted := '{}';
    -- First the lock, alone: the statements after it see whatever a rival committed while we waited.
    SELECT e.* INTO v_execution FROM executions e
    WHERE e.id = (SELECT s.execution_id FROM satellites s WHERE s.id = (p_outcomes -> 0 ->> 'id')::uuid)
    FOR NO KEY UPDATE;
    v_now := coalesce(p_now, clock_timestamp());

    WITH outcome AS (
        SELECT * FROM json_to_recordset(p_outcomes) AS o(
            id uuid, claim uuid, status satellite_status, output json, output_bytes int,
            error text, error_kind text, traceback text, duration_ms float8, ended_ms_ago float8, resource_usage json,
            retry_after_s float8, reason text, children json, items int,
            max_total int
        )
    ), decided AS (
        SELECT o.*, o.retry_after_s IS NOT NULL AND s.attempt < s.max_attempts AND NOT uncharged AS again, uncharged,
               CASE WHEN o.retry_after_s > 0 AND (o.status = 'pending' OR s.attempt < s.max_attempts AND NOT uncharged)
                    THEN least(o.retry_after_s, 1e9) END AS wait_s
        FROM outcome o JOIN satellites s USING (id)
        -- Neither a success nor a failure: it expands, asks to run again later, or gathered too early, because a retry
        -- has put something back that it waits for.
        CROSS JOIN LATERAL (SELECT o.status = 'pending' OR s.children > 0 AND s.unmet > 0 AS uncharged) AS judged
        WHERE s.execution_id = v_execution.id AND s.status = 'running' AND s.claim = o.claim
    ), recorded AS (
        UPDATE satellites s
        SET status = CASE WHEN o.again OR o.uncharged THEN 'pending' ELSE o.status END,
            attempt = s.attempt - o.uncharged::int,
            children = s.children + coalesce(json_array_length(o.children), 0),
            unmet = s.unmet + coalesce(json_array_length(o.children), 0),
            held = CASE WHEN o.again OR o.uncharged THEN s.held END,
            reason = CASE WHEN NOT o.uncharged THEN o.reason END,
            output = CASE WHEN NOT o.uncharged THEN o.output END,
            output_bytes = CASE WHEN o.uncharged THEN 0 ELSE coalesce(o.output_bytes, 0) END,
            error = CASE WHEN NOT o.uncharged THEN o.error END,
            error_kind = CASE WHEN NOT o.uncharged THEN o.error_kind END,
            traceback = CASE WHEN NOT o.uncharged THEN o.traceback END,
            duration_ms = CASE WHEN s.children > 0 THEN extract(epoch FROM v_sent - s.start_time) * 1000
                               ELSE o.duration_ms END,
            resource_usage = o.resource_usage,
            -- Its own times, where its worker tells them: it may have waited, claimed, for others of its batch.
            start_time = CASE
                WHEN s.children > 0 OR o.children IS NOT NULL THEN s.start_time
                WHEN NOT o.uncharged THEN greatest(
                    s.start_time, v_sent - make_interval(secs => (o.ended_ms_ago + o.duration_ms) / 1000)
                )
            END,
            end_time = CASE WHEN NOT (o.again OR o.uncharged) THEN
                greatest(s.start_time, v_sent - make_interval(secs => coalesce(o.ended_ms_ago, 0) / 1000))
            END,
            lease_expires_at = NULL,
            not_before = v_now + make_interval(secs => o.wait_s),
            dispatches = s.dispatches + ((o.again OR o.uncharged) AND o.wait_s IS NULL)::int
        FROM decided o
        WHERE s.id = o.id
        RETURNING s.id, s.ordinal, s.status, s.attempt, s.error, s.error_kind, s.traceback, s.not_before,
                  s.start_time, s.end_time, s.reason, s.parent, s.children, o.again, o.children AS expansion, o.items,
                  o.max_total
    ), logged AS (
        INSERT INTO events (execution_id, seq, satellite_id, kind, status, at, data)
        SELECT v_execution.id, v_execution.seq + row_number() OVER (ORDER BY r.ordinal), r.id,
               CASE WHEN r.status <> 'pending' THEN r.status::text WHEN r.again THEN 'retrying'
                    WHEN r.expansion IS NULL THEN 'requeued' ELSE 'expanded' END, r.status::text, v_now,
               CASE
                   WHEN r.status = 'completed' THEN json_build_object(
                       'attempt', r.attempt, 'start_time', r.start_time, 'end_time', r.end_time
                   )
                   WHEN r.status = 'skipped' THEN json_build_object(
                       'attempt', r.attempt, 'start_time', r.start_time, 'end_time', r.end_time, 'reason', r.reason
                   )
                   WHEN r.expansion IS NOT NULL THEN json_build_object('items', r.items, 'children', r.children)
                   WHEN NOT r.again AND r.status = 'pending' THEN json_build_object('not_before', r.not_before)
                   ELSE json_strip_nulls(json_build_object(
                       'attempt', r.attempt, 'start_time', r.start_time, 'end_time', r.end_time, 'error', r.error,
                       'kind', r.error_kind, 'traceback', r.traceback, 'not_before', r.not_before
                   ))
               END
        FROM recorded r
    )
    SELECT coalesce(array_agg(r.id) FILTER (WHERE r.status = 'completed'), '{}'),
           coalesce(array_agg(r.id) FILTER (WHERE r.status = 'failed'), '{}'),
           coalesce(array_agg(r.id) FILTER (WHERE r.status = 'pending'), '{}'),
           coalesce(array_agg(r.id) FILTER (WHERE r.status = 'skipped'), '{}'),
           coalesce(array_agg(r.id), '{}'),
           array_agg(r.expansion) FILTER (WHERE r.expansion IS NOT NULL),
           array_agg(r.parent) FILTER (WHERE r.parent IS NOT NULL AND r.status <> 'pending'),
           max(r.max_total)
    INTO v_completed, v_failed, v_again, v_pruned, landed, v_expanded, v_limited, v_max_total FROM recorded r;

    v_execution.seq := v_execution.seq + cardinality(landed);

    IF v_failed <> '{}' THEN
        SELECT * INTO v_execution.seq, v_skipped, v_cancelled
        FROM skip_descendants(v_execution.id, v_execution.failure_policy, v_execution.seq, v_failed, v_now);
    END IF;
    IF v_pruned <> '{}' THEN
        SELECT s.seq, v_skipped || s.skipped INTO v_execution.seq, v_skipped
        FROM skip_descendants(v_execution.id, 'continue', v_execution.seq, v_pruned, v_now) AS s;
        v_skipped := v_skipped || v_pruned;
    END IF;
    SELECT s.ready, s.claimed, s.seq INTO ready, claimed, v_execution.seq FROM decrement_unmet(
        v_execution.id, v_completed, v_failed || v_skipped || v_cancelled, v_execution.seq, p_budget, v_now
    ) AS s;
    IF v_expanded IS NOT NULL THEN
        FOREACH v_children IN ARRAY v_expanded LOOP
            IF v_execution.total + v_count + json_array_length(v_children) > v_max_total THEN
                RAISE EXCEPTION 'the execution would have more than % satellites', v_max_total
                    USING ERRCODE = 'program_limit_exceeded';
            END IF;
            v_queued := insert_satellites(v_execution.id, v_children, v_execution.total + v_count, v_now);
            v_count := v_count + json_array_length(v_children);
            v_limited := v_limited || (v_children -> 0 ->> 'parent')::uuid;
            ready := ready || v_queued;
        END LOOP;
    END IF;
    IF v_limited IS NOT NULL THEN
        FOR v_parent IN SELECT DISTINCT unnest(v_limited) LOOP
            ready := ready || open_items(v_parent, v_now);
        END LOOP;
    END IF;
    IF v_again <> '{}' THEN
        PERFORM end_signalled_waits(v_again);  -- one that came since they looked
    END IF;
    ready := queue_if_ready(v_again, v_now) || ready;
    IF cardinality(landed) < json_array_length(p_outcomes) THEN
        -- A token that is still in a row which no longer runs: its outcome was recorded, the answer was lost.
        SELECT coalesce(array_agg(s.id), '{}'), array_agg(s.id) FILTER (WHERE s.queued_at IS NOT NULL)
        INTO v_repeated, v_again
        FROM json_to_recordset(p_outcomes) AS o(id uuid, claim uuid) JOIN satellites s USING (id)
        WHERE s.claim = o.claim AND s.status <> 'running' AND s.id <> ALL (landed);
        SELECT landed || v_repeated, ready || v_again || array_agg(f.id) INTO landed, ready
        FROM ready_behind(v_repeated) AS f(id);
        IF landed = v_repeated AND p_budget IS NOT NULL THEN
            claimed := claimed_by(
                (p_budget ->> 'worker')::uuid, (p_budget ->> 'token')::uuid, (p_budget ->> 'max_input_bytes')::bigint
            );
        END IF;
    END IF;

    IF cardinality(landed) > cardinality(v_repeated) THEN
        SELECT * INTO ended, admitted FROM count_outcomes(
            v_execution.id, v_execution.seq, cardinality(v_completed), cardinality(v_failed),
            cardinality(v_skipped), cardinality(v_cancelled), v_count, p_max_concurrent, v_now
        );
    END IF;
END
$$;

-- count_outcomes: the execution's progress, and its end when every satellite is terminal.
CREATE OR REPLACE FUNCTION count_outcomes(
    p_execution uuid, p_seq bigint, p_completed int, p_failed int, p_skipped int, p_cancelled int, p_added int,
    p_max_concurrent int, p_now timestamptz,
    OUT ended execution_status, OUT admitted uuid[]
)
LANGUAGE plpgsql AS $$
DECLARE
    v_finished boolean;
    v_failed int;
BEGIN
    admitted := '{}';
    SELECT e.total + p_added = e.completed + e.failed + e.skipped + e.cancelled
                     + p_completed + p_failed + p_skipped + p_cancelled,
           e.failed + p_failed
    INTO v_finished, v_failed FROM executions e WHERE e.id = p_execution;
    IF v_finished THEN
        ended := CASE WHEN v_failed > 0 THEN 'failed' ELSE 'completed' END;
        p_seq := p_seq + 1;
        INSERT INTO events (execution_id, seq, kind, status, at)
        VALUES (p_execution, p_seq, ended::text, ended::text, p_now);
    END IF;
    UPDATE executions e
    SET completed = e.completed + p_completed, failed = e.failed + p_failed, skipped = e.skipped + p_skipped,
        cancelled = e.cancelled + p_cancelled, total = e.total + p_added, seq = p_seq, updated_at = p_now,
        status = coalesce(ended, e.status), finished_at = CASE WHEN v_finished THEN p_now END
    WHERE e.id = p_execution;
    IF v_finished THEN
        UPDATE admission SET running = running - 1;
        admitted := admit(p_max_concurrent, p_now);
    END IF;
END
$$;
