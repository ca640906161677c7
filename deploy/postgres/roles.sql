-- Who may use the database `memlog`: audit, which owns the read models, and the gateway, which reads what audit shows.
-- No other service has a role; Grafana has one that sees who read what, where there is a password for it. Run by psql as
-- a superuser, as often as one likes; passwords are files in $MEMLOG_SECRETS (/run/secrets when that is not set).
\set ON_ERROR_STOP on
\set audit_password `cat "${MEMLOG_SECRETS:-/run/secrets}/postgres_audit_password"`
\set gateway_password `cat "${MEMLOG_SECRETS:-/run/secrets}/postgres_gateway_password"`
\set grafana_password `cat "${MEMLOG_SECRETS:-/run/secrets}/postgres_grafana_password" 2>/dev/null || true`
SELECT :'audit_password' = '' OR :'gateway_password' = '' AS "missing", :'grafana_password' <> '' AS "grafana" \gset
\if :missing
\warn 'roles.sql: a password file is missing or empty'
SELECT 1 / 0;
\endif

\connect memlog
\ir grants.sql
ALTER ROLE memlog_audit LOGIN PASSWORD :'audit_password';
ALTER ROLE memlog_gateway LOGIN PASSWORD :'gateway_password';
\if :grafana
ALTER ROLE memlog_grafana LOGIN PASSWORD :'grafana_password';
\endif
