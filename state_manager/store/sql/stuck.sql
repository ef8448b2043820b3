-- faults_of: what is wrong in the rows of a running execution, which no transition leaves so: it would stay for ever.
--   unqueued    ready satellites that are not queued
--   miscounted  satellites whose `unmet` is not the number of their unsatisfied dependencies
--   unended     whether every satellite is terminal, and the execution has not ended
-- One statement, so that it sees one moment.
CREATE OR REPLACE FUNCTION faults_of(
    p_execution uuid, OUT unqueued uuid[], OUT miscounted uuid[], OUT unended boolean
)
LANGUAGE sql STABLE
SET enable_seqscan = off AS $$
    WITH counted AS (
        SELECT s.id, s.status, s.unmet, s.not_before, s.queued_at, count(d.id) AS unsatisfied
        FROM satellites s LEFT JOIN satellites d ON d.id = ANY (s.dependencies) AND NOT CASE s.run_when
            WHEN 'all_done' THEN d.status IN ('completed', 'failed', 'skipped', 'cancelled')
            ELSE d.status = 'completed'
        END
        WHERE s.execution_id = p_execution
        GROUP BY s.id
    )
    SELECT coalesce(array_agg(c.id) FILTER (
               WHERE is_ready(c.status, c.unmet, c.not_before) AND c.queued_at IS NULL AND c.unmet = c.unsatisfied
           ), '{}'),
           coalesce(array_agg(c.id) FILTER (WHERE c.unmet <> c.unsatisfied), '{}'),
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
BEGIN
    admitted := '{}';
    SELECT e.seq INTO v_seq FROM executions e WHERE e.id = p_execution FOR NO KEY UPDATE;
    v_now := coalesce(p_now, clock_timestamp());
    SELECT * INTO v_faults FROM faults_of(p_execution);
    UPDATE satellites s
    SET unmet = counted.unsatisfied, queued_at = CASE WHEN counted.unsatisfied = 0 THEN s.queued_at END
    FROM (
        SELECT s.id, count(d.id) AS unsatisfied
        FROM satellites s LEFT JOIN satellites d ON d.id = ANY (s.dependencies) AND NOT CASE s.run_when
            WHEN 'all_done' THEN d.status IN ('completed', 'failed', 'skipped', 'cancelled')
            ELSE d.status = 'completed'
        END
        WHERE s.id = ANY (v_faults.miscounted) GROUP BY s.id
    ) AS counted
    WHERE s.id = counted.id;
    ready := queue_if_ready(v_faults.unqueued || v_faults.miscounted, v_now);
    wrong := cardinality(v_faults.unqueued || v_faults.miscounted) + v_faults.unended::int;
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
        SELECT * INTO ended, admitted FROM count_outcomes(p_execution, v_seq, 0, 0, 0, 0, p_max_concurrent, v_now);
    END IF;
END
$$;
