"""Reading a backup that may be large, cut anywhere, or made to do harm; and writing one."""

import io
import json
import zipfile
import zlib
from collections.abc import Iterator

import pytest
from contracts.errors import PayloadTooLarge
from gateway.backup import archive, json_rows
from gateway.backup.errors import BrokenBackup
from gateway.backup.json_rows import rows
from gateway.backup.writing import BackupWriter
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

KEYS = {"memories", "apps"}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
DOCUMENTS = st.fixed_dictionaries(
    {"user": JSON, "memories": st.lists(JSON, max_size=5), "apps": st.lists(JSON, max_size=3), "x": JSON}
)


class Dripping(io.RawIOBase):
    """A stream that gives a few bytes at a time."""

    def __init__(self, data: bytes, step: int) -> None:
        self._data = io.BytesIO(data)
        self._step = step

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        return self._data.read(self._step)


def read(data: bytes, step: int = 1 << 16) -> list[tuple[str, object]]:
    return list(rows(Dripping(data, step), KEYS, "it"))  # pyright: ignore[reportArgumentType]


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(DOCUMENTS, st.booleans(), st.integers(1, 7), st.sampled_from([None, 2]))
def test_rows_are_those_of_the_document_however_it_arrives(
    document: dict[str, object], escaped: bool, step: int, indent: int | None
) -> None:
    text = json.dumps(document, ensure_ascii=escaped, indent=indent)
    found: dict[str, object] = {}
    for key, value in read(text.encode(errors="surrogatepass") if escaped else text.encode(errors="replace"), step):
        if key not in KEYS:
            found[key] = value
        elif key not in found:
            found[key] = []
        else:
            found[key].append(value)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    assert found == json.loads(text.encode(errors="replace").decode())


@given(st.integers(1, 60), st.integers(1, 9))
def test_a_document_that_is_cut_is_refused_wherever(cut: int, step: int) -> None:
    data = json.dumps({"user": {"a": 12.5}, "memories": [{"id": "é"}, 17], "apps": []}, ensure_ascii=False).encode()
    with pytest.raises(BrokenBackup):
        read(data[: max(len(data) - cut, 0)], step)


def test_one_row_cannot_be_larger_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_rows, "MOST_ROW", 1_000)
    endless = b'{"memories": ["' + b"x" * 300_000
    with pytest.raises(BrokenBackup, match="one row is over 1000 characters"):
        read(endless, 500)


def packed(chunks: Iterator[bytes]) -> io.BytesIO:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made, made.open("memories.json", "w") as member:
        for chunk in chunks:
            member.write(chunk)
    return file


def test_what_unpacks_to_more_than_it_says_or_may_ends_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MOST_UNPACKED", 100_000)
    file = packed(b" " * 10_000 for _ in range(50))
    with pytest.raises(PayloadTooLarge), archive.opened(file):
        pass
    monkeypatch.setattr(archive, "MOST_UNPACKED", 1_000_000)
    with archive.opened(file) as opened:
        monkeypatch.setattr(archive, "MOST_UNPACKED", 100_000)  # as if its directory had said less
        with archive.member(opened, "memories.json") as stream, pytest.raises(PayloadTooLarge):
            assert sum(map(len, iter(lambda: stream.read(1 << 16), b""))) == 0


def test_a_zip_64_and_a_crowded_directory_are_refused_before_they_are_read() -> None:
    file = packed(iter([b"{}"]))
    data = file.getvalue()
    at = data.rfind(b"PK\x05\x06")
    locator = b"PK\x06\x07" + bytes(16)
    with pytest.raises(BrokenBackup, match="ZIP64"), archive.opened(io.BytesIO(data[:at] + locator + data[at:])):
        pass
    crowded = data[:at] + data[at : at + 8] + b"\xff\x7f\xff\x7f" + data[at + 12 :]
    with pytest.raises(BrokenBackup, match="members"), archive.opened(io.BytesIO(crowded)):
        pass


def test_a_backup_is_written_row_by_row_and_is_one_document() -> None:
    file = io.BytesIO()
    writer = BackupWriter(file)
    writer.value("user", {"name": "é"})
    writer.rows("apps", [])
    writer.rows("memories", [{"id": 1}])
    writer.rows("memories", [{"id": 2}, {"id": 3}])
    writer.logical([{"id": 1}, {"id": 2}])
    writer.value("export_meta", {})
    writer.close()
    with zipfile.ZipFile(file) as made:
        assert json.loads(made.read("memories.json")) == {
            "user": {"name": "é"}, "apps": [], "memories": [{"id": 1}, {"id": 2}, {"id": 3}], "export_meta": {},
        }  # fmt: skip
        assert zlib.decompress(made.read("memories.jsonl.gz"), 31) == b'{"id": 1}\n{"id": 2}\n'
