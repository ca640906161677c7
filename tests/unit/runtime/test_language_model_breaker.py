"""Which endpoint is asked with which key, and when one that is away is asked again."""

import pytest
from contracts.errors import LanguageModelAway
from pydantic import SecretStr
from runtime.language_model import LanguageModelChoice
from runtime.language_model_breaker import Breaker
from runtime.openai_model import OPENAI_URL, language_model_choice
from runtime.settings import Settings


def test_an_endpoint_that_answers_others_meanwhile_is_not_away() -> None:
    breaker = Breaker()
    with pytest.raises(LanguageModelAway), breaker.question():
        breaker.answered()
        raise LanguageModelAway("it did not answer this one")
    assert not breaker.open
    with pytest.raises(LanguageModelAway), breaker.question():
        raise LanguageModelAway("it answers nobody")
    assert breaker.open


def test_the_pauses_of_an_endpoint_that_is_away_grow_and_end_with_an_answer() -> None:
    now = 0.0
    breaker = Breaker(lambda: now)
    pauses: list[float] = []
    for _ in range(9):
        with pytest.raises(LanguageModelAway), breaker.question() as probe:
            assert probe == bool(pauses)
            raise LanguageModelAway("away")
        pauses.append(breaker.left)
        with pytest.raises(LanguageModelAway, match="away"):
            breaker.check()
        now += breaker.left
    for pause, most in zip(pauses, (1, 2, 4, 8, 16, 32, 60, 60, 60), strict=True):
        assert 0.74 * most <= pause <= most
    with breaker.question() as probe:
        breaker.answered()
    assert (probe, breaker.open, breaker.left) == (True, False, 0.0)


def test_a_key_alone_sends_no_text_away() -> None:
    settings = Settings(openai_api_key=SecretStr("sk-openai"), llm_api_key=SecretStr("sk-other"))
    assert language_model_choice(settings) is None


def test_keys_go_to_no_other_endpoint() -> None:
    openai, other = SecretStr("sk-openai"), SecretStr("sk-other")
    elsewhere = "http://localhost:11434/v1"
    assert language_model_choice(Settings(llm="m", openai_api_key=openai)) == LanguageModelChoice(
        "m", OPENAI_URL, "sk-openai"
    )
    there = Settings(llm="m", llm_base_url=elsewhere, openai_api_key=openai)
    assert language_model_choice(there) == LanguageModelChoice("m", elsewhere, None)
    both = Settings(llm="m", llm_base_url=elsewhere, openai_api_key=openai, llm_api_key=other)
    assert language_model_choice(both) == LanguageModelChoice("m", elsewhere, "sk-other")
