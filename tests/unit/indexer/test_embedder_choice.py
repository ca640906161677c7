"""How an embedder is named, with and without the place where it answers."""

from pathlib import Path

import pytest
from contracts.errors import InvalidInput
from indexer.embedding.choosing import EmbedderChoice, EmbedderOptions
from pydantic import SecretStr

OPTIONS = EmbedderOptions(Path("/nowhere"), base_url="http://here/v1", api_key=SecretStr("for here"))


@pytest.mark.parametrize(
    ("spec", "choice"),
    [
        ("minilm", EmbedderChoice("minilm")),
        ("fastembed:BAAI/bge", EmbedderChoice("fastembed:BAAI/bge")),
        ("openai:m", EmbedderChoice("openai:m", "http://here/v1")),
        ("openai:m@2", EmbedderChoice("openai:m@2", "http://here/v1")),
        ("openai:m@http://there:1/v1/", EmbedderChoice("openai:m", "http://there:1/v1")),
        ("openai:org/m:7b@https://there", EmbedderChoice("openai:org/m:7b", "https://there")),
    ],
)
def test_a_remote_embedder_is_where_its_name_says_else_where_the_settings_say(
    spec: str, choice: EmbedderChoice
) -> None:
    assert OPTIONS.choice(spec) == choice


@pytest.mark.parametrize("spec", ["", "openai:", "other:m", "openai:m@http://", "openai:m@http://user:secret@there/v1"])
def test_what_names_no_embedder_is_refused(spec: str) -> None:
    with pytest.raises(InvalidInput):
        OPTIONS.choice(spec)


def test_a_key_is_not_shown_to_another_place() -> None:
    assert OPTIONS.key_for("http://here/v1") == "for here"
    assert OPTIONS.key_for("http://there/v1") is None
