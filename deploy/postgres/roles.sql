-- Who may use the database `memlog`: audit, which owns the read models, and the gateway, which reads what audit shows.
-- No other service has a role. Run by psql as a superuser, as often as one likes; passwords are files in $MEMLOG_SECRETS
-- (/run/secrets when that is not set).
\set ON_ERROR_STOP on
\set audit_password `cat "${MEMLOG_SECRETS:-/run/secrets}/postgres_audit_password"`
\set gateway_password `cat "${MEMLOG_SECRETS:-/run/secrets}/postgres_gateway_password"`
SELECT :'audit_password' = '' OR :'gateway_password' = '' AS "missing" \gset
\if :missing
\warn 'roles.sql: a password file is missing or empty'
SELECT 1 / 0;
\endif

\connect memlog
\ir grants.sql
ALTER ROLE memlog_audit LOGIN PASSWORD :'audit_password';
ALTER ROLE memlog_gateway LOGIN PASSWORD :'gateway_password';
