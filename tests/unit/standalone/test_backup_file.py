"""The file of a backup: what goes in comes out, and no change of it goes unseen."""

import random
import subprocess
import tarfile
from pathlib import Path

import pytest
from contracts.errors import MemlogError
from standalone import backup_file
from standalone.backup_file import BackupReader, BackupWriter, Content, KeysState, LastMessage, Manifest, StreamPart
from standalone.failures import FileDamaged, FileUnusable

CHANCE = random.Random(20261122)
SNAPSHOTS = {"MEMLOG_EVENTS_0": CHANCE.randbytes(2500), "MEMLOG_DEAD": b"", "MEMLOG_USERS": CHANCE.randbytes(1000)}


def write(path: Path) -> Manifest:
    with path.open("wb") as file:
        writer = BackupWriter(file)
        parts: list[StreamPart] = []
        for stream, content in SNAPSHOTS.items():
            part = writer.part(stream)
            for start in range(0, len(content), 300):
                part.write(content[start : start + 300])
            sha256 = part.close()
            parts.append(
                StreamPart(
                    stream=stream,
                    config={"name": stream},
                    state={"messages": 7},
                    size=part.size,
                    sha256=sha256,
                    members=part.members,
                    last=LastMessage(sequence=7, sha256="ab"),
                    content=Content(first=1, messages=7, sha256="cd"),
                    consumers=[],
                )
            )
        manifest = Manifest(
            memlog="0.1.0",
            server="2.15.1",
            taken_at="2026-11-22T20:00:00.000+00:00",
            shards=1,
            incarnations=["00ff"],
            streams=parts,
            keys=KeysState(count=1, last_sequence=1, master="0123"),
        )
        writer.finish(manifest)
    return manifest


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(backup_file, "_MEMBER", 1000)
    write(tmp_path / "backup.tar")
    return tmp_path / "backup.tar"


def test_what_was_written_is_read(file: Path) -> None:
    seen: list[int] = []
    with BackupReader(file, seen.append) as backup:
        assert [part.stream for part in backup.manifest.streams] == [*SNAPSHOTS]
        assert backup.manifest.streams[0].members == 3
        for part in backup.manifest.streams:
            assert b"".join(backup.chunks(part)) == SNAPSHOTS[part.stream]
    assert sum(seen) > sum(map(len, SNAPSHOTS.values()))


def test_the_same_content_makes_the_same_file_and_any_tar_can_look_into_it(file: Path, tmp_path: Path) -> None:
    write(tmp_path / "again.tar")
    assert (tmp_path / "again.tar").read_bytes() == file.read_bytes()
    with tarfile.open(file) as archive:
        names = archive.getnames()
    assert (names[0], names[-1]) == ("memlog-backup.json", "seal")
    listed = subprocess.run(["tar", "tf", file], capture_output=True, text=True, check=True)
    assert listed.stdout.split() == names


def test_a_file_that_is_cut_off_anywhere_is_refused(file: Path) -> None:
    whole = file.read_bytes()
    for end in [0, 1, 511, 512, len(whole) - 2048, len(whole) - 1, *CHANCE.sample(range(len(whole)), 100)]:
        file.write_bytes(whole[:end])
        with pytest.raises(FileUnusable):
            BackupReader(file)


def test_a_file_with_any_byte_changed_is_refused(file: Path) -> None:
    whole = file.read_bytes()
    for at in [*range(0, 1200, 11), *CHANCE.sample(range(len(whole)), 300), *range(len(whole) - 2048, len(whole), 23)]:
        changed = bytearray(whole)
        changed[at] ^= 1 << CHANCE.randrange(8)
        file.write_bytes(changed)
        with pytest.raises(FileUnusable):
            BackupReader(file)


def test_a_file_with_something_behind_its_end_is_refused(file: Path) -> None:
    file.write_bytes(file.read_bytes() + bytes(512))
    with pytest.raises(FileDamaged):
        BackupReader(file)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is no backup"),
        (b"PK\x03\x04 something else entirely" * 100, "is no backup"),
        (None, "cannot be used: No such file"),
    ],
)
def test_what_is_no_backup_is_told_so(tmp_path: Path, content: bytes | None, says: str) -> None:
    path = tmp_path / "file"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(MemlogError, match=says):
        BackupReader(path)


def test_a_newer_format_asks_for_the_newer_memlog(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup_file, "VERSION", 0)
    with pytest.raises(FileUnusable, match=r"format version 1.*newer Memlog"):
        BackupReader(file)
