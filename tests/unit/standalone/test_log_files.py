"""Log files of a home stay small while they are written."""

from pathlib import Path

from runtime.logging import open_log_file
from standalone.children import LOG_LIMIT_BYTES, bound_log


def test_a_log_that_grew_too_large_begins_anew_and_what_it_held_is_kept_beside_it(tmp_path: Path) -> None:
    log, old = tmp_path / "memlog.log", tmp_path / "memlog.log.1"
    with open_log_file(log) as writing:
        writing.write("a" * LOG_LIMIT_BYTES)
        bound_log(log)
        assert not old.exists()
        writing.write("the last line\n")
        bound_log(log)
        writing.write("the next line\n")
    assert log.read_text() == "the next line\n"
    assert old.read_text().endswith("a" * 1000 + "the last line\n")
    assert old.stat().st_size == LOG_LIMIT_BYTES


def test_a_log_that_is_not_there_yet_needs_no_care(tmp_path: Path) -> None:
    bound_log(tmp_path / "memlog.log")
    assert not [*tmp_path.iterdir()]
