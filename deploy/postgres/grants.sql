-- Roles without passwords, and what they may do in the database `memlog`: plain SQL, run there as a superuser, as often
-- as one likes. `memlog_reader` is what audit grants its views to whenever it makes new ones (audit.schema), so that the
-- gateway's role can read each generation and never the tables behind the views. `memlog_auditor` is granted those that
-- say who read when (and hold no text): it is Grafana's, which asks little at a time and is cut off else.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['memlog_audit', 'memlog_gateway', 'memlog_grafana', 'memlog_reader', 'memlog_auditor'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', name);
        END IF;
    END LOOP;
END
$$;
GRANT memlog_reader TO memlog_gateway;
GRANT memlog_auditor TO memlog_grafana;
ALTER ROLE memlog_gateway SET default_transaction_read_only = on;
ALTER ROLE memlog_grafana CONNECTION LIMIT 8;
ALTER ROLE memlog_grafana SET default_transaction_read_only = on;
ALTER ROLE memlog_grafana SET statement_timeout = '15s';
CREATE EXTENSION IF NOT EXISTS pg_trgm;
ALTER DATABASE memlog OWNER TO memlog_audit;
REVOKE ALL ON DATABASE memlog FROM PUBLIC;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO memlog_audit, memlog_reader;
GRANT CONNECT ON DATABASE memlog TO memlog_reader, memlog_auditor;
