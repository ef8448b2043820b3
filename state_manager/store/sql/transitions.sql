-- The database itself refuses a move that is not in state_manager/states.py, whoever asks for it.
CREATE OR REPLACE FUNCTION refuse_unknown_move() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF NOT (OLD.status::text || ' > ' || NEW.status::text) = ANY (TG_ARGV) THEN
        RAISE EXCEPTION '% %: no way from % to %', TG_TABLE_NAME, OLD.id, OLD.status, NEW.status
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;

CREATE OR REPLACE TRIGGER moves BEFORE UPDATE OF status ON executions
FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status)
EXECUTE FUNCTION refuse_unknown_move(
    'pending > running', 'pending > cancelled',
    'running > completed', 'running > failed', 'running > cancelled',
    'failed > running'
);

CREATE OR REPLACE TRIGGER moves BEFORE UPDATE OF status ON satellites
FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status)
EXECUTE FUNCTION refuse_unknown_move(
    'pending > running', 'pending > skipped', 'pending > cancelled',
    'running > completed', 'running > failed', 'running > cancelled', 'running > pending', 'running > skipped',
    'failed > pending', 'skipped > pending', 'cancelled > pending'
);
