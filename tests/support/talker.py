"""A language model for whole Memlogs: the stand-in, and what it says about texts of a simple kind."""

import json
from collections.abc import Mapping

from support.chat_model import Asked, ChatModel


def fact_of(text: str) -> str:
    """The fact that the model finds in `… remember: <fact>`."""
    return text.rpartition("remember: ")[2]


def finds_facts(asked: Asked) -> object:
    """Each line `remember: …` of a text is a fact, anything else small talk. A fact that begins as a memory does is
    about that one: `Home: Bern` replaces `Home: Zürich`, `Home: none` deletes it."""
    try:
        question = json.loads(asked.user)
    except ValueError:
        return {"facts": [fact_of(line) for line in asked.user.splitlines() if "remember: " in line]}
    decisions: list[Mapping[str, object]] = []
    for fact in question["facts"]:
        about = fact["text"].partition(":")[0]
        same = [memory for memory in question["memories"] if memory["text"].partition(":")[0] == about]
        number = same[0]["memory"] if same else None
        if number is None:
            event = "ADD"
        elif same[0]["text"] == fact["text"]:
            event = "NONE"
        else:
            event = "DELETE" if fact["text"].endswith(": none") else "UPDATE"
        decisions.append({"fact": fact["fact"], "event": event, "memory": number, "text": fact["text"]})
    return {"decisions": decisions}


def talker() -> ChatModel:
    """A model that finds facts."""
    return ChatModel(script=finds_facts)
