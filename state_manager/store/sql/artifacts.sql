-- put_artifact: keep the row of an artifact whose bytes are in place. The satellite's artifact of the same name goes:
-- that of an earlier attempt is what a repetition replaces. Answers `stored`, or `late` where the attempt was taken
-- away; and the artifact that was replaced, whose bytes can go. Sent again it answers `stored`, and nothing replaced.
CREATE OR REPLACE FUNCTION put_artifact(
    p_satellite uuid, p_claim uuid, p_artifact json, p_now timestamptz DEFAULT NULL, OUT answer text, OUT replaced uuid
)
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
    -- It locks the satellite's row, so that two of one name at a time follow each other.
    v_execution uuid := held_execution(p_satellite, p_claim);
    v_id uuid := p_artifact ->> 'id';
BEGIN
    IF v_execution IS NULL THEN
        answer := 'late';
        RETURN;
    END IF;
    DELETE FROM artifacts a
    WHERE a.satellite_id = p_satellite AND a.name = p_artifact ->> 'name' AND a.id <> v_id
    RETURNING a.id INTO replaced;
    INSERT INTO artifacts (id, execution_id, satellite_id, attempt, name, media_type, size, sha256, location, created_at)
    SELECT v_id, v_execution, s.id, s.attempt, p_artifact ->> 'name', p_artifact ->> 'media_type',
           (p_artifact ->> 'size')::bigint, p_artifact ->> 'sha256', p_artifact ->> 'location',
           coalesce(p_now, clock_timestamp())
    FROM satellites s WHERE s.id = p_satellite
    ON CONFLICT (id) DO NOTHING;
    answer := 'stored';
END
$$;
