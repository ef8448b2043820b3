-- submit: the rows of a new execution, admitted at once where there is room.
-- Answers the execution and whether it is new; of a known idempotency key, the one that has it.
-- A duplicate key waits for the rival's commit and then sees its row: the insert decides, not a look before it.
CREATE OR REPLACE FUNCTION submit(
    p_execution json, p_satellites json, p_max_concurrent int, p_now timestamptz DEFAULT NULL,
    OUT execution_id uuid, OUT created boolean, OUT definition_hash text, OUT status execution_status, OUT seq bigint,
    OUT created_at timestamptz, OUT deadline timestamptz
)
LANGUAGE plpgsql
-- Planned once, by keys (decision 0012).
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    v_now timestamptz := coalesce(p_now, clock_timestamp());
    v_id uuid := (p_execution ->> 'id')::uuid;
BEGIN
    INSERT INTO executions (
        id, project, cluster_id, status, sla, deadline, failure_policy, timeout_s, definition, definition_hash,
        idempotency_key, total, seq, created_at, updated_at
    )
    SELECT v_id, x.project, x.cluster_id, 'pending', x.sla, v_now + x.sla::interval, x.failure_policy, x.timeout_s,
           x.definition, x.definition_hash, x.idempotency_key, json_array_length(p_satellites), 1, v_now, v_now
    FROM json_to_record(p_execution) AS x(
        project text, cluster_id text, sla text, failure_policy failure_policy, timeout_s float8, definition json,
        definition_hash text, idempotency_key text
    )
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        -- The same id: this very call, sent again because its answer was lost. It is new to its caller.
        SELECT e.id, e.id = v_id, e.definition_hash, e.status, e.seq, e.created_at, e.deadline
        INTO execution_id, created, definition_hash, status, seq, created_at, deadline
        FROM executions e
        WHERE e.id = v_id
           OR (e.project = p_execution ->> 'project' AND e.idempotency_key = p_execution ->> 'idempotency_key');
        RETURN;
    END IF;
    created := true;
    execution_id := v_id;
    definition_hash := p_execution ->> 'definition_hash';

    -- As if it were admitted, which spares a second version of each row: nobody sees them before the commit.
    PERFORM insert_satellites(v_id, p_satellites, 0, v_now);
    IF p_execution ->> 'secrets' IS NOT NULL THEN
        INSERT INTO secrets (id, execution_id, project, name, key_id, wrapped_key, ciphertext, created_at, updated_at)
        SELECT x.id, v_id, p_execution ->> 'project', x.name, x.key_id, decode(x.wrapped_key, 'base64'),
               decode(x.ciphertext, 'base64'), v_now, v_now
        FROM json_to_recordset(p_execution -> 'secrets') AS x(
            id uuid, name text, key_id text, wrapped_key text, ciphertext text
        );
    END IF;
    INSERT INTO events (execution_id, seq, kind, status, at) VALUES (v_id, 1, 'submitted', 'pending', v_now);

    -- The counter's row is shared by all: taken last, so that it is held for the commit alone. Taken even when
    -- there is no budget: a settle that makes some meanwhile waits, and then finds this execution to admit.
    PERFORM FROM admission FOR UPDATE;
    UPDATE admission SET running = running + 1 WHERE running < p_max_concurrent;
    IF FOUND THEN
        PERFORM start_execution(v_id, v_now);
    ELSE
        UPDATE satellites SET queued_at = NULL WHERE execution_id = v_id AND queued_at IS NOT NULL;
    END IF;
    SELECT e.status, e.seq, e.created_at, e.deadline INTO status, seq, created_at, deadline
    FROM executions e WHERE e.id = v_id;
END
$$;
