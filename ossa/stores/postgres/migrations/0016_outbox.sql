-- A program of the version before that is inside its own journal_write while 0013 replaces that goes on with the old body,
-- which writes to the outbox. Those rows go into the fact log, too: the ones that came since 0013 looked, and later ones.
LOCK TABLE ossa.outbox IN SHARE ROW EXCLUSIVE MODE;

CREATE FUNCTION ossa.outbox_told() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ossa.facts (at, tenant, tasks, count, body)
    VALUES (NEW.at, NEW.tenant, true, json_array_length(NEW.body::json),
            '[[' || to_json(NEW.task_id)::text || ',' || NEW.body || ']]');
    RETURN NULL;  -- the outbox stays empty
END $$;

CREATE TRIGGER told BEFORE INSERT ON ossa.outbox FOR EACH ROW EXECUTE FUNCTION ossa.outbox_told();

INSERT INTO ossa.facts (at, tenant, tasks, count, body)
SELECT o.at, o.tenant, true, json_array_length(o.body::json), '[[' || to_json(o.task_id)::text || ',' || o.body || ']]'
FROM ossa.outbox o ORDER BY o.position;
DELETE FROM ossa.outbox;
