-- name: ahead
SELECT ossa.history_ahead(%(weeks)s::integer) AS made

-- name: prune
SELECT ossa.history_prune(%(before)s, %(most)s::integer) AS gone

-- name: drop
SELECT ossa.history_drop(%(before)s, %(most)s::integer) AS part
