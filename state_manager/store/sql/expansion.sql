-- insert_satellites: the rows of satellites of a running execution, numbered from `p_first`; answers those that are
-- queued with it, because they may start. The fields from `parent` on are those of a parent's children, and absent in
-- others.
CREATE OR REPLACE FUNCTION insert_satellites(
    p_execution uuid, p_satellites json, p_first int, p_now timestamptz
)
RETURNS uuid[]
LANGUAGE plpgsql AS $$
DECLARE
    v_queued uuid[];
BEGIN
    WITH inserted AS (
        INSERT INTO satellites (
            id, execution_id, ordinal, name, identifier, status, queue, run_when, config, input, timeout_s,
            retry_policy, max_attempts, dependencies, dependents, unmet, queued_at, dynamic,
            parent, index, item, held, input_bytes
        )
        SELECT x.id, p_execution, p_first + x.ordinal, x.name, x.identifier, 'pending', x.queue, x.run_when, x.config,
               x.input, x.timeout_s, x.retry_policy, (x.retry_policy ->> 'max_attempts')::int, x.dependencies,
               x.dependents, cardinality(x.dependencies),
               CASE WHEN is_ready('pending', cardinality(x.dependencies), NULL, x.held) THEN p_now END, x.dynamic,
               x.parent, x.index, x.item, x.held, coalesce(octet_length(x.item::text), 0)
        FROM json_to_recordset(p_satellites) AS x(
            id uuid, ordinal int, name text, identifier text, queue text, run_when run_when,
            config json, input json, timeout_s float8, retry_policy json, dependencies uuid[], dependents uuid[],
            dynamic json, parent uuid, index int, item json, held boolean
        )
        RETURNING id, ordinal, queued_at
    )
    SELECT coalesce(array_agg(i.id ORDER BY i.ordinal) FILTER (WHERE i.queued_at IS NOT NULL), '{}') INTO v_queued
    FROM inserted i;
    RETURN v_queued;
END
$$;

-- open_items: let the next items of a parent start, as many as its `max_parallel` allows. An item is open while one of
-- its satellites is not ended and not held; what came back of an open item may start at once. Answers what is queued.
-- The caller holds the execution's row. It counts anew each time, so it may be called once too often.
CREATE OR REPLACE FUNCTION open_items(p_parent uuid, p_now timestamptz) RETURNS uuid[]
LANGUAGE plpgsql AS $$
DECLARE
    v_allowed int := (SELECT (p.dynamic ->> 'max_parallel')::int FROM satellites p WHERE p.id = p_parent);
    v_open int[];
    v_next int[];
    v_opened uuid[];
BEGIN
    IF v_allowed IS NULL THEN
        RETURN '{}';
    END IF;
    v_open := ARRAY(SELECT DISTINCT c.index FROM satellites c WHERE c.parent = p_parent AND c.held = false);
    v_next := ARRAY(
        SELECT DISTINCT c.index FROM satellites c
        WHERE c.parent = p_parent AND c.held = true AND c.index <> ALL (v_open)
        ORDER BY c.index
        LIMIT greatest(v_allowed - cardinality(v_open), 0)
    );
    WITH opened AS (
        UPDATE satellites c SET held = false
        WHERE c.parent = p_parent AND c.held = true AND c.index = ANY (v_open || v_next)
        RETURNING c.id
    )
    SELECT coalesce(array_agg(o.id), '{}') INTO v_opened FROM opened o;
    RETURN queue_if_ready(v_opened, p_now);
END
$$;
