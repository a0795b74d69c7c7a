-- name: mark
-- On the primary. What processes that are gone left goes along.
WITH old AS (DELETE FROM ossa.reader_marks m WHERE m.at < now() - interval '1 day' AND m.reader <> %(reader)s)
INSERT INTO ossa.reader_marks AS m (reader, number, at) VALUES (%(reader)s, %(number)s, now())
ON CONFLICT (reader) DO UPDATE SET number = greatest(m.number, excluded.number), at = excluded.at

-- name: shown
SELECT coalesce((SELECT m.number FROM ossa.reader_marks m WHERE m.reader = %(reader)s), 0)::bigint AS number
