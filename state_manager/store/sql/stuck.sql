-- unsatisfied_by: the number of satellites that this one waits for, counted anew: dependencies, and its own children.
CREATE OR REPLACE FUNCTION unsatisfied_by(s satellites) RETURNS int
LANGUAGE sql STABLE AS $$
    SELECT ((
        SELECT count(*) FROM satellites d WHERE d.id = ANY (s.dependencies) AND NOT CASE s.run_when
            WHEN 'all_done' THEN d.status IN ('completed', 'failed', 'skipped', 'cancelled')
            ELSE d.status = 'completed'
        END
    ) + (
        SELECT count(*) FROM satellites c WHERE c.parent = s.id AND c.status IN ('pending', 'running')
    ))::int
$$;

-- faults_of: what is wrong in the rows of a running execution, which no transition leaves so: it would stay for ever.
--   unqueued    ready satellites that are not queued
--   miscounted  satellites whose `unmet` is not the number of what they wait for
--   unopened    parents whose `max_parallel` lets more items start
--   unended     whether every satellite is terminal, and the execution has not ended
-- One statement, so that it sees one moment.
CREATE OR REPLACE FUNCTION faults_of(
    p_execution uuid, OUT unqueued uuid[], OUT miscounted uuid[], OUT unopened uuid[], OUT unended boolean
)
LANGUAGE sql STABLE
SET enable_seqscan = off AS $$
    WITH counted AS (
        SELECT s.*, unsatisfied_by(s) AS unsatisfied FROM satellites s WHERE s.execution_id = p_execution
    ), limited AS (
        SELECT c.parent, (SELECT (p.dynamic ->> 'max_parallel')::int FROM counted p WHERE p.id = c.parent) AS allowed,
               count(DISTINCT c.index) FILTER (WHERE NOT c.held) AS open,
               count(*) FILTER (WHERE c.held) AS held
        FROM counted c WHERE c.held IS NOT NULL GROUP BY c.parent
    )
    SELECT coalesce(array_agg(c.id) FILTER (
               WHERE is_ready(c.status, c.unmet, c.not_before, c.held) AND c.queued_at IS NULL AND c.unmet = c.unsatisfied
           ), '{}'),
           coalesce(array_agg(c.id) FILTER (WHERE c.unmet <> c.unsatisfied), '{}'),
           ARRAY(SELECT l.parent FROM limited l WHERE l.held > 0 AND l.open < l.allowed),
           coalesce(bool_and(c.status NOT IN ('pending', 'running')), false)
    FROM counted c
    WHERE (SELECT e.status FROM executions e WHERE e.id = p_execution) = 'running'
$$;

-- repair_stuck: put right what `faults_of` finds, under the execution's lock. Answers as settle does, and how many rows
-- were wrong. The counts of an execution that should have ended are taken from its satellites.
CREATE OR REPLACE FUNCTION repair_stuck(
    p_execution uuid, p_max_concurrent int, p_now timestamptz DEFAULT NULL,
    OUT wrong int, OUT ready uuid[], OUT ended execution_status, OUT admitted uuid[]
)
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    v_now timestamptz;
    v_seq bigint;
    v_faults record;
    v_parent uuid;
BEGIN
    admitted := '{}';
    SELECT e.seq INTO v_seq FROM executions e WHERE e.id = p_execution FOR NO KEY UPDATE;
    v_now := coalesce(p_now, clock_timestamp());
    SELECT * INTO v_faults FROM faults_of(p_execution);
    UPDATE satellites s
    SET unmet = unsatisfied_by(s), queued_at = CASE WHEN unsatisfied_by(s) = 0 THEN s.queued_at END
    WHERE s.id = ANY (v_faults.miscounted);
    ready := queue_if_ready(v_faults.unqueued || v_faults.miscounted, v_now);
    FOREACH v_parent IN ARRAY v_faults.unopened LOOP
        ready := ready || open_items(v_parent, v_now);
    END LOOP;
    wrong := cardinality(v_faults.unqueued || v_faults.miscounted || v_faults.unopened) + v_faults.unended::int;
    IF v_faults.unended THEN
        UPDATE executions e
        SET completed = c.completed, failed = c.failed, skipped = c.skipped, cancelled = c.cancelled
        FROM (
            SELECT count(*) FILTER (WHERE s.status = 'completed') AS completed,
                   count(*) FILTER (WHERE s.status = 'failed') AS failed,
                   count(*) FILTER (WHERE s.status = 'skipped') AS skipped,
                   count(*) FILTER (WHERE s.status = 'cancelled') AS cancelled
            FROM satellites s WHERE s.execution_id = p_execution
        ) AS c
        WHERE e.id = p_execution;
        SELECT * INTO ended, admitted FROM count_outcomes(p_execution, v_seq, 0, 0, 0, 0, 0, p_max_concurrent, v_now);
    END IF;
END
$$;
