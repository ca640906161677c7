"""`make env`: the secrets and settings of a Memlog under compose, made once. What is there already is never changed.

    python3 deploy/env.py [FOLDER]

Secrets stand in <folder>/secrets, which its owner alone may enter. The files themselves can be read by anybody, because
compose mounts them as they are, and each container has a user of its own. Needs nothing but Python.
"""

import os
import secrets
import sys
from collections.abc import Callable
from pathlib import Path

SERVICES = ("gateway", "memory-writer", "indexer", "categorizer", "audit")
NATS_USERS = (*SERVICES, "operator")

_SETTINGS = """\
# Settings of all services of Memlog: every MEMLOG_… variable of the README's table can stand here.
#
# A language model reads texts only where one is named. Its key belongs into secrets/llm_api_key.
#MEMLOG_LLM=gpt-4o-mini
# With `make up PROFILE=ollama` (then: docker compose exec ollama ollama pull llama3.1):
#MEMLOG_LLM=llama3.1
#MEMLOG_LLM_BASE_URL=http://ollama:11434/v1
#
# How clients reach the gateway, where that is not 127.0.0.1: behind a TLS proxy. Its name belongs into .env, too.
#MEMLOG_PUBLIC_URL=https://memlog.example.org
"""
_COMPOSE = """\
# Read by docker compose itself.
# The port of the gateway on this machine; nothing is published beyond it.
MEMLOG_PORT=8765
GRAFANA_PORT=3000
JAEGER_PORT=16686
PROMETHEUS_PORT=9090
# Names by which clients reach the gateway, comma-separated, where that is not 127.0.0.1.
#MEMLOG_ALLOWED_HOSTS=memlog.example.org
# How large the log may grow: less than its disk has, so that an alert comes before the disk is full.
#NATS_MAX_FILE_STORE=100GB
"""


def random_hex() -> str:
    return secrets.token_hex(32)


def made(folder: Path, say: Callable[[str], None]) -> None:
    """Make what is missing; `say` is told of each file."""
    vault = folder / "secrets"
    vault.mkdir(mode=0o700, parents=True, exist_ok=True)
    vault.chmod(0o700)

    def secret(name: str, value: Callable[[], str] = random_hex) -> str:
        return _once(vault / name, value, 0o444, say)

    secret("master_key")
    secret("admin_token")
    passwords = {user: secret(f"nats_{user.replace('-', '_')}_password") for user in NATS_USERS}
    secret("nats_passwords.conf", lambda: _nats_passwords(passwords))
    secret("postgres_superuser_password")
    for role in ("audit", "gateway"):
        password = secret(f"postgres_{role}_password")
        secret(f"postgres_{role}_dsn", lambda r=role, p=password: f"postgresql://memlog_{r}:{p}@postgres/memlog")
    key = secret("qdrant_api_key")
    secret("qdrant_config.yaml", lambda: f"service:\n  api_key: {key}")
    secret("grafana_admin_password")
    secret("postgres_grafana_password")
    _once(vault / "llm_api_key", lambda: "", 0o644, say)  # yours to fill in, if you name a language model
    _once(folder / "memlog.env", lambda: _SETTINGS.rstrip("\n"), 0o644, say)
    _once(folder / ".env", lambda: _COMPOSE.rstrip("\n"), 0o644, say)


def _nats_passwords(passwords: dict[str, str]) -> str:
    # The variables of deploy/nats/accounts.conf (contracts.permissions).
    return "\n".join(f'{user.replace("-", "_")}_password: "{password}"' for user, password in passwords.items())


def _once(path: Path, value: Callable[[], str], mode: int, say: Callable[[str], None]) -> str:
    """The content of the file, which is made if it is missing: whole or not at all."""
    if not path.exists():
        new = path.with_name(f".{path.name}.new")
        new.unlink(missing_ok=True)
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(value() + "\n")
            file.flush()
            os.fsync(file.fileno())
        new.chmod(mode)
        new.rename(path)
        say(f"made {path}")
    return path.read_text().rstrip("\n")


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    told: list[str] = []
    made(folder, told.append)
    sys.stdout.write("\n".join(told or ["nothing to do: all secrets and settings are there"]) + "\n")
    if any("master_key" in line for line in told):
        sys.stdout.write(
            f"\nKeep a copy of {folder}/secrets/master_key elsewhere: without it nobody can read the memories,"
            " and no backup helps.\n"
        )


if __name__ == "__main__":
    main()
