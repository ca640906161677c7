"""What goes over the wire to a Qdrant server: local mode does not show it."""

import ssl
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from contracts.errors import ConfigurationError, Unavailable
from contracts_index.adapters import DIMENSION, EMBEDDER, WithClient, apply, put, vector
from contracts_index.recording_server import RecordingServer, recording_server
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from indexer.embedding.choosing import MINILM
from indexer.index import SearchFilter
from indexer.qdrant_server import ServerIndex
from indexer.qdrant_server_collection import make_collection
from indexer.qdrant_server_connection import connect_qdrant
from indexer.record import INDEX_VERSION, Record
from indexer.server_shelf import ServerShelf

NAME = "memlog_v1__test-1"
COLLECTION = f"/collections/{NAME}"
BM25 = {"k": 1.2, "b": 0.75, "avg_len": 64.0, "language": "english"}


def make_empty(server: RecordingServer) -> None:
    """As a server that has just been installed, to which the collection comes by itself."""
    server.answers = {
        ("GET", "/"): {"title": "qdrant - vector search engine", "version": "1.19.0"},
        ("GET", "/aliases"): {"aliases": []},
        ("GET", f"{COLLECTION}/exists"): {"exists": False},
        ("PUT", COLLECTION): True,
        ("POST", "/collections/aliases"): True,
        ("POST", f"{COLLECTION}/points"): [],
        ("POST", f"{COLLECTION}/points/query"): {"points": []},
        ("GET", COLLECTION): {
            "status": "green",
            "optimizer_status": "ok",
            "segments_count": 1,
            "payload_schema": {},
            "config": {
                "params": {},
                "hnsw_config": {"m": 0, "ef_construct": 100, "full_scan_threshold": 10_000},
                "optimizer_config": {
                    "deleted_threshold": 0.2,
                    "vacuum_min_vector_number": 1000,
                    "default_segment_number": 0,
                    "flush_interval_sec": 5,
                },
                "metadata": {"format": 1, "embedder": EMBEDDER, "dimension": DIMENSION},
            },
        },
    }


async def open_on(server: RecordingServer, key: str | None = None, ca_file: Path | None = None) -> ServerIndex:
    client = connect_qdrant(server.url, key, ca_file)
    if server.answers:
        await make_collection(client, NAME, EMBEDDER, DIMENSION)
        server.answers["GET", f"{COLLECTION}/exists"] = {"exists": True}
    return await WithClient.open(client, NAME, EMBEDDER, DIMENSION)


async def test_the_collection_is_made_with_the_key_tenants_and_no_quantization() -> None:
    async with recording_server() as server:
        make_empty(server)
        index = await open_on(server, "secret")
        assert index.failure is None
        assert {request.headers.get("api-key") for request in server.sent} == {"secret"}
        assert server.bodies("PUT", COLLECTION) == [
            {
                "vectors": {"dense": {"size": DIMENSION, "distance": "Cosine", "on_disk": False}},
                "sparse_vectors": {"bm25": {"modifier": "idf"}},
                "hnsw_config": {"m": 0, "payload_m": 16},
                "shard_number": 1,
                "metadata": {"format": 1, "embedder": EMBEDDER, "dimension": DIMENSION},
            }
        ]
        indexes = {body["field_name"]: body["field_schema"] for body in server.bodies("PUT", f"{COLLECTION}/index")}
        assert indexes["uid"] == {"type": "keyword", "is_tenant": True}
        assert indexes["created_at"] == {"type": "integer"}
        await index.close()


async def test_a_collection_has_as_many_replicas_as_the_settings_say() -> None:
    async with recording_server() as server:
        make_empty(server)
        client = connect_qdrant(server.url)
        await make_collection(client, NAME, EMBEDDER, DIMENSION, replicas=2)
        [made] = server.bodies("PUT", COLLECTION)
        assert made["replication_factor"] == 2
        await client.close()


async def test_another_generation_serves_by_one_request() -> None:
    async with recording_server() as server:
        make_empty(server)
        server.answers |= {("PATCH", f"/collections/memlog_v{number}__test-1"): True for number in (1, 2)}
        shelf = ServerShelf(connect_qdrant(server.url), "memlog")
        before = Record(1, "retired", INDEX_VERSION, MINILM, EMBEDDER, DIMENSION, datetime.now(UTC))
        await shelf.switch(replace(before, number=2, state="serving"), before)
        assert server.bodies("POST", "/collections/aliases") == [
            {
                "actions": [
                    {"delete_alias": {"alias_name": "memlog"}},
                    {"create_alias": {"collection_name": "memlog_v2__test-1", "alias_name": "memlog"}},
                ]
            }
        ]
        [registered] = server.bodies("PATCH", "/collections/memlog_v2__test-1")
        assert '"state": "serving"' in registered["metadata"]["generation"]
        await shelf.close()


async def test_the_server_weighs_the_words_and_is_not_given_them_to_keep() -> None:
    async with recording_server() as server:
        make_empty(server)
        index = await open_on(server)
        await apply(index, put("a", 1, "one", "two"))
        chunks, heads, checkpoints = server.bodies("PUT", f"{COLLECTION}/points")
        assert [point["vector"]["bm25"] for point in chunks["points"]] == [
            {"text": text, "model": "qdrant/bm25", "options": BM25} for text in ("one", "two")
        ]
        kept: list[dict[str, Any]] = [
            point["payload"] for body in (chunks, heads, checkpoints) for point in body["points"]
        ]
        assert not {"one", "two"} & {value for payload in kept for value in payload.values() if isinstance(value, str)}
        assert all(payload["epoch"] == 0 for payload in kept)
        assert chunks["update_filter"] == {"must": [{"key": "epoch", "range": {"lte": 0.0}}]}
        await index.search(vector(0), "where is one", SearchFilter("ann"), 5)
        [query] = server.bodies("POST", f"{COLLECTION}/points/query")
        dense, words = query["prefetch"]
        user = {"key": "uid", "match": {"value": "ann"}}
        assert words["query"] == {"text": "where is one", "model": "qdrant/bm25", "options": BM25}
        assert dense["filter"] == words["filter"] == words["params"]["idf"]["corpus"]
        assert user in words["filter"]["must"]
        assert query["query"]["defaults"] == {"$score[0]": 0.2, "$score[1]": 0.0}
        await index.close()


@pytest.mark.parametrize("status", [404, 429, 500, 503])
async def test_a_server_that_cannot_now_makes_the_index_unavailable(status: int) -> None:
    async with recording_server() as server:
        make_empty(server)
        index = await open_on(server)
        server.status = status
        with pytest.raises(Unavailable, match=str(status)):
            await index.count(SearchFilter("ann"))
        assert index.failure is not None
        await index.close()


@pytest.mark.parametrize("status", [401, 403])
async def test_a_key_that_the_server_refuses_is_named(status: int) -> None:
    async with recording_server() as server:
        server.status = status
        with pytest.raises(ConfigurationError, match="MEMLOG_QDRANT_API_KEY"):
            await open_on(server, "wrong")


async def test_a_key_that_is_refused_later_is_waited_out() -> None:
    """Else what was to be written would be put aside, as if it were its own fault."""
    async with recording_server() as server:
        make_empty(server)
        index = await open_on(server, "secret")
        server.status = 401
        for _ in range(2):
            with pytest.raises(Unavailable, match="MEMLOG_QDRANT_API_KEY"):
                await apply(index, put("a", 1))
        assert index.failure is not None and "MEMLOG_QDRANT_API_KEY" in index.failure
        server.status = 200
        await apply(index, put("a", 1))
        assert index.failure is None
        await index.close()


def write_certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "memlog test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = folder / "certificate.pem", folder / "key.pem"
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate_file, key_file


async def test_https_is_verified_against_the_file_of_certificates(tmp_path: Path) -> None:
    certificate, key = write_certificate(tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    async with recording_server(tls) as server:
        make_empty(server)
        unverified = await WithClient.open(connect_qdrant(server.url), NAME, EMBEDDER, DIMENSION)
        assert unverified.failure is not None and "CERTIFICATE_VERIFY_FAILED" in unverified.failure
        assert server.sent == []
        await unverified.close()
        trusted = await open_on(server, ca_file=certificate)
        assert trusted.failure is None
        await trusted.close()
