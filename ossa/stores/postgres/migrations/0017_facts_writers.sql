-- The runtime's own role may use the log's sequence and not read it: the function that does runs with the owner's rights.
ALTER FUNCTION ossa.facts_writers() SECURITY DEFINER SET search_path = pg_catalog, pg_temp;
