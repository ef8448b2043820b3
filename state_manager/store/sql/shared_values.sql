-- held_execution: the execution of a satellite that an attempt with this token runs, else null. What the attempt then
-- writes is its own: the row stays locked until the commit, so that nobody takes the attempt away meanwhile.
CREATE OR REPLACE FUNCTION held_execution(p_satellite uuid, p_claim uuid) RETURNS uuid
LANGUAGE sql AS $$
    SELECT s.execution_id FROM satellites s
    WHERE s.id = p_satellite AND s.claim = p_claim AND s.status = 'running' FOR NO KEY UPDATE
$$;

-- put_value: keep a value of the attempt's execution. Answers `stored`; `late` where the attempt was taken away; or
-- `full` where the execution has `p_limit` keys and this is none of them. Writers at the same time may exceed that a
-- little: they are few, and counting under a lock would have them wait for each other.
CREATE OR REPLACE FUNCTION put_value(p_satellite uuid, p_claim uuid, p_key text, p_value json, p_limit int)
RETURNS text
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
    v_execution uuid := held_execution(p_satellite, p_claim);
BEGIN
    IF v_execution IS NULL THEN
        RETURN 'late';
    END IF;
    UPDATE shared_values v SET value = p_value WHERE v.execution_id = v_execution AND v.key = p_key;
    IF NOT FOUND THEN
        INSERT INTO shared_values (execution_id, key, value)
        SELECT v_execution, p_key, p_value
        WHERE (SELECT count(*) FROM shared_values v WHERE v.execution_id = v_execution) < p_limit
        ON CONFLICT (execution_id, key) DO UPDATE SET value = p_value;
        RETURN CASE WHEN FOUND THEN 'stored' ELSE 'full' END;
    END IF;
    RETURN 'stored';
END
$$;

-- increment_value: add to a number, which is 0 where there is none; `answer` is as in `put_value`, or `no number`.
CREATE OR REPLACE FUNCTION increment_value(
    p_satellite uuid, p_claim uuid, p_key text, p_by numeric, p_limit int, OUT answer text, OUT total json
)
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
    v_execution uuid := held_execution(p_satellite, p_claim);
BEGIN
    IF v_execution IS NULL THEN
        answer := 'late';
        RETURN;
    END IF;
    total := add_to_value(v_execution, p_key, p_by);
    IF total IS NULL THEN
        INSERT INTO shared_values (execution_id, key, value)
        SELECT v_execution, p_key, to_json(p_by)
        WHERE (SELECT count(*) FROM shared_values v WHERE v.execution_id = v_execution) < p_limit
        ON CONFLICT (execution_id, key) DO NOTHING
        RETURNING value INTO total;
    END IF;
    IF total IS NULL THEN
        total := add_to_value(v_execution, p_key, p_by);  -- a rival has inserted it meanwhile
    END IF;
    answer := CASE
        WHEN total IS NOT NULL THEN 'stored'
        WHEN EXISTS (SELECT FROM shared_values v WHERE v.execution_id = v_execution AND v.key = p_key) THEN 'no number'
        ELSE 'full'
    END;
END
$$;

-- add_to_value: null where there is no value, or no number. Of several at a time each adds to what the one before it
-- has committed: they wait for each other at the row.
CREATE OR REPLACE FUNCTION add_to_value(p_execution uuid, p_key text, p_by numeric) RETURNS json
LANGUAGE sql AS $$
    UPDATE shared_values v SET value = to_json((v.value #>> '{}')::numeric + p_by)
    WHERE v.execution_id = p_execution AND v.key = p_key AND json_typeof(v.value) = 'number'
    RETURNING v.value
$$;

-- delete_value: remove a value of the attempt's execution; answers `stored` or `late`.
CREATE OR REPLACE FUNCTION delete_value(p_satellite uuid, p_claim uuid, p_key text) RETURNS text
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
    v_execution uuid := held_execution(p_satellite, p_claim);
BEGIN
    DELETE FROM shared_values v WHERE v.execution_id = v_execution AND v.key = p_key;
    RETURN CASE WHEN v_execution IS NULL THEN 'late' ELSE 'stored' END;
END
$$;
