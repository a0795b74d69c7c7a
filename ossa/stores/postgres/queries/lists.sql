-- name: mark
-- Where the primary is: all that is committed is before it.
SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint AS lsn,
       ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::integer AS timeline

-- name: progress
-- How far this server is. Its timeline is told late rather than early: until then it is not read from.
SELECT pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END,
                       '0/0')::bigint AS lsn,
       greatest(c.timeline_id, r.min_recovery_end_timeline) AS timeline
FROM pg_control_checkpoint() c, pg_control_recovery() r
