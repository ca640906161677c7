"""The manifests fit what they run: settings, images, secrets, addresses, the log's configuration and the metrics."""

import asyncio
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from contracts.streams import CATEGORIZER_CONSUMER, INDEX
from runtime import metrics
from runtime.settings import Settings, load_settings
from standalone.nats_server import nats_binary
from support.kustomize import Object, containers
from support.manifests import (
    FOLDERS,
    OVERLAYS,
    SERVICES,
    compose,
    environment,
    image_of,
    made_secrets,
    named,
    of_kind,
    pod_of,
    rendered,
    secrets_used,
    workloads,
)

OVERLAY = pytest.mark.parametrize("overlay", OVERLAYS)
SERVICE = pytest.mark.parametrize("service", SERVICES)


def settings_of(overlay: str, service: str, files: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """What the service makes of what its container is told, with its secrets in `files`."""
    for name, key, path in secrets_used(named(overlay, "Deployment", service)):
        assert path is not None
        (files / Path(path).name).write_text(made_secrets()[name]["stringData"][key])
    for variable, value in {**image_of(service).environment, **environment(overlay, service)}.items():
        if variable.startswith("MEMLOG_"):
            monkeypatch.setenv(variable, value.replace("/run/secrets", str(files)))
    return load_settings()


@SERVICE
@OVERLAY
def test_every_variable_is_a_setting_and_has_a_value_that_it_takes(
    overlay: str, service: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in environment(overlay, service):
        name = variable.removeprefix("MEMLOG_").lower()
        known = name in Settings.model_fields or name.removesuffix("_file") in Settings.model_fields
        assert known or variable == "OTEL_EXPORTER_OTLP_ENDPOINT", variable
    settings = settings_of(overlay, service, tmp_path, monkeypatch)
    assert settings.nats_user == service
    assert settings.nats_password is not None
    assert settings.declare_streams == (service == "memory-writer")
    assert settings.master_key_file is not None and settings.master_key_file.exists()


@OVERLAY
def test_every_service_is_told_the_same_of_the_log(overlay: str) -> None:
    common = ("MEMLOG_NATS_URL", "MEMLOG_NATS_MONITOR_URL", "MEMLOG_SHARDS", "MEMLOG_REPLICAS", "MEMLOG_OPS_PORT")
    told = {tuple(environment(overlay, service)[name] for name in common) for service in SERVICES}
    assert len(told) == 1


def test_the_gateway_wants_tokens_and_only_reads_the_read_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of("ha", "gateway", tmp_path, monkeypatch)
    assert settings.auth == "token"
    assert settings.admin_token_file is not None
    assert urlsplit(settings.reader_dsn).username == "memlog_gateway"
    [host] = [rule["host"] for rule in named("ha", "Ingress", "gateway")["spec"]["rules"]]
    assert host in settings.allowed_hosts
    assert settings.public_url == f"https://{host}"
    assert named("ha", "Ingress", "gateway")["spec"]["tls"][0]["hosts"] == [host]


@OVERLAY
def test_the_number_of_servers_is_that_of_the_copies(overlay: str) -> None:
    told = environment(overlay, "memory-writer")
    servers = named(overlay, "StatefulSet", "nats")["spec"]["replicas"]
    assert servers == int(told["MEMLOG_REPLICAS"])
    assert [urlsplit(each).hostname for each in told["MEMLOG_NATS_URL"].split(",")] == [
        f"nats-{number}.nats" for number in range(servers)
    ]
    peers = named(overlay, "StatefulSet", "qdrant")["spec"]["replicas"]
    assert int(environment(overlay, "indexer").get("MEMLOG_QDRANT_REPLICAS", "1")) == peers


def test_the_overlay_ha_has_several_of_each_and_eight_shards() -> None:
    assert environment("ha", "memory-writer")["MEMLOG_SHARDS"] == "8"
    scaled = {each["metadata"]["name"]: each["spec"] for each in of_kind("ha", "ScaledObject")}
    for each in workloads("ha"):
        name = each["metadata"]["name"]
        if name in scaled:
            assert "replicas" not in each["spec"], "two would decide how many there are"
            assert scaled[name]["scaleTargetRef"] == {"name": name}
            assert 2 <= scaled[name]["minReplicaCount"] < scaled[name]["maxReplicaCount"] <= 8
        else:
            assert each["spec"]["replicas"] >= 2
    assert scaled.keys() == {"indexer", "categorizer"}
    assert named("ha", "Cluster", "postgres")["spec"]["instances"] >= 2


@OVERLAY
def test_every_address_is_one_of_a_service_with_that_port(overlay: str) -> None:
    services = {each["metadata"]["name"]: each["spec"] for each in of_kind(overlay, "Service")}
    for service in SERVICES:
        addresses = re.findall(r"\b(?:https?|nats)://([\w.-]+):(\d+)", " ".join(environment(overlay, service).values()))
        for name, key, _ in secrets_used(named(overlay, "Deployment", service)):
            addresses += re.findall(r"@([\w.-]+):(\d+)", made_secrets()[name]["stringData"][key])
        assert addresses
        for host, port in addresses:
            name = host.split(".")[-1]
            if name == "monitoring" or (overlay, name) == ("ha", "postgres-rw"):
                continue  # of another namespace; made by CloudNativePG
            assert int(port) in [each["port"] for each in services[name]["ports"]]


@OVERLAY
def test_every_service_leads_to_ports_of_the_pods_that_it_selects(overlay: str) -> None:
    for service in of_kind(overlay, "Service"):
        selector = service["spec"]["selector"].items()
        pods = [
            each for each in workloads(overlay) if selector <= each["spec"]["template"]["metadata"]["labels"].items()
        ]
        assert pods
        for port in service["spec"]["ports"]:
            assert all(port["targetPort"] in [own["name"] for own in containers(pod)[0]["ports"]] for pod in pods)


@SERVICE
@OVERLAY
def test_a_container_is_what_its_image_says(overlay: str, service: str) -> None:
    pod = pod_of(named(overlay, "Deployment", service))
    [container], image = pod["containers"], image_of(service)
    assert container["image"].split(":")[0] == f"memlog-{service}"
    assert container.keys().isdisjoint({"command", "args"}), "the image has its own"
    security = pod["securityContext"]
    assert f"{security['runAsUser']}:{security['runAsGroup']}" == image.user
    assert security["fsGroup"] == security["runAsGroup"]
    assert {str(port["containerPort"]) for port in container["ports"]} == {*image.ports}
    written = [path for name, path in image.environment.items() if name in ("MEMLOG_CACHE_PATH", "MEMLOG_ANCHOR_FILE")]
    writable = [mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")]
    for path in written:
        assert any(Path(path).is_relative_to(mounted) for mounted in writable), f"{path} cannot be written"


def test_the_job_runs_the_command_line_once_for_each_derived_store() -> None:
    [job] = rendered("rebuild")
    assert image_of("tools").entrypoint == ("memlog",)
    commands = [container["args"] for container in containers(job)]
    assert [command[:2] for command in commands] == [
        ["rebuild", store] for store in ("read-models", "access-log", "index")
    ]
    assert all("http://gateway:8765" in command for command in commands)


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_secret_is_one_that_the_script_makes_and_none_is_committed(folder: str) -> None:
    assert not [each for each in rendered(folder) if each["kind"] == "Secret"]
    for each in rendered(folder):
        for name, key, _ in secrets_used(each):
            assert key in made_secrets()[name]["stringData"]
        if each["kind"] == "Cluster":
            wanted = [each["spec"]["bootstrap"]["initdb"]["secret"]["name"]]
            wanted += [role["passwordSecret"]["name"] for role in each["spec"]["managed"]["roles"]]
            assert all(made_secrets()[name]["type"] == "kubernetes.io/basic-auth" for name in wanted)


@SERVICE
@OVERLAY
def test_a_service_is_given_no_secret_but_its_own(overlay: str, service: str) -> None:
    given = {(name, key) for name, key, _ in secrets_used(named(overlay, "Deployment", service))}
    own = {("memlog-master-key", "master_key"), ("memlog-nats", service)}
    more = {
        "gateway": {("memlog-postgres-gateway", "dsn"), ("memlog-operator", "admin_token")},
        "audit": {("memlog-postgres-audit", "dsn")},
        "indexer": {("memlog-qdrant", "api_key")},
    }
    assert given == own | more.get(service, set())


@OVERLAY
async def test_the_servers_take_their_configuration_and_sync_always(overlay: str, tmp_path: Path) -> None:
    nats = named(overlay, "StatefulSet", "nats")
    for volume in (source for of in pod_of(nats)["volumes"] for source in of.get("projected", {}).get("sources", [])):
        if "configMap" in volume:
            files = named(overlay, "ConfigMap", volume["configMap"]["name"])["data"]
        else:
            files = {
                volume["secret"]["items"][0]["path"]: made_secrets()["memlog-nats"]["stringData"]["passwords.conf"]
            }
        for name, text in files.items():
            (tmp_path / name).write_text(text.replace('"/data"', f'"{tmp_path}/data"'))
    arguments = containers(nats)[0]["args"]
    config = tmp_path / Path(arguments[arguments.index("--config") + 1]).name
    process = await asyncio.create_subprocess_exec(
        *(nats_binary(), "--config", config, "-t"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={each["name"]: each["value"] for each in containers(nats)[0]["env"] if "value" in each},
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
    read = "".join((tmp_path / name).read_text() for name in ("nats.conf", config.name))
    assert "sync_interval: always" in read
    assert ("nats-2.nats:6222" in read) == (overlay == "ha")


@OVERLAY
def test_the_servers_know_permissions_for_as_many_shards_as_there_are(overlay: str) -> None:
    [accounts] = [
        each["data"]["accounts.conf"]
        for each in of_kind(overlay, "ConfigMap")
        if each["metadata"]["name"].startswith("nats-config")
    ]
    shards = int(environment(overlay, "memory-writer")["MEMLOG_SHARDS"])
    assert f'MEMLOG_EVENTS_{shards - 1}"' in accounts


def test_what_is_scaled_is_scaled_by_a_metric_that_services_export() -> None:
    # `Gauge` hands the name on to the library, which shows it to exporters only.
    [declared] = re.findall(r'LAG = Gauge\("([\w.]+)"', Path(metrics.__file__).read_text())
    lag = declared.replace(".", "_")
    for name, consumer in (("indexer", INDEX), ("categorizer", CATEGORIZER_CONSUMER)):
        [query] = [
            trigger["metadata"]["query"]
            for trigger in named("ha", "ScaledObject", name)["spec"]["triggers"]
            if trigger["type"] == "prometheus"
        ]
        assert query == f'sum(max by (shard) ({lag}{{namespace="memlog", consumer="{consumer}"}}))'


def test_prometheus_is_led_to_the_ops_port_of_every_service() -> None:
    monitor = named("ha", "ServiceMonitor", "memlog")["spec"]
    [service] = [
        each
        for each in of_kind("ha", "Service")
        if monitor["selector"]["matchLabels"].items() <= each["metadata"]["labels"].items()
    ]
    watched = {
        each["metadata"]["name"]
        for each in workloads("ha")
        if service["spec"]["selector"].items() <= each["spec"]["template"]["metadata"]["labels"].items()
    }
    assert watched == {*SERVICES}
    [endpoint] = monitor["endpoints"]
    [port] = service["spec"]["ports"]
    assert endpoint["port"] == port["name"]
    assert endpoint["path"] == "/metrics"
    assert str(port["port"]) == environment("ha", "audit")["MEMLOG_OPS_PORT"]


def test_postgres_is_set_up_alike_in_all_forms() -> None:
    """Errors that repeat a row, or WAL that keeps one, would show texts."""
    words = [each for each in compose()["services"]["postgres"]["command"] if "=" in each]
    single = containers(named("single", "StatefulSet", "postgres"))[0]["args"]
    cluster: Object = named("ha", "Cluster", "postgres")["spec"]["postgresql"]["parameters"]
    for name in ("wal_recycle", "log_error_verbosity", "log_min_error_statement", "jit"):
        [value] = [word.partition("=")[2] for word in words if word.startswith(f"{name}=")]
        assert f"{name}={value}" in single
        assert cluster[name] == value
