"""Short memories and questions about them, as people write them: seeded, so that every run has the same ones."""

import random
from collections.abc import Callable, Iterable


def _words(text: str) -> list[str]:
    return text.split()


def _phrases(text: str) -> list[str]:
    return text.replace("\n", "").split("|")


_NAMES = _words("""
Clara Miguel Aiko Priya Jonas Fatima Olu Sofia Henrik Mei Tomas Leila Ravi Ingrid Pablo Nadia Emeka Yuki
Greta Omar Bianca Stefan Amara Luca Zoe Viktor Hana Felix Carmen Dmitri Elise Kofi Marta Sanjay Freya Mateus""")
_PLACES = _words("""
Lisbon Kyoto Bergen Nairobi Toronto Seville Tallinn Oaxaca Wellington Krakow Marseille Austin Jaipur Lagos
Gothenburg Montreal Ljubljana Cusco Hanoi Edinburgh Valencia Tbilisi Portland Accra Zurich Salvador""")
_KIN = _words("""
sister brother neighbour colleague manager cousin dentist flatmate mentor physiotherapist landlord
grandmother trainer accountant nephew teammate""")
_WORK = _phrases("""
parser|billing service|staging cluster|quarterly report|onboarding guide|search index|mobile client|
payment gateway|design review|data warehouse|release checklist|login page|message queue|backup job|feature flag|
error budget|style guide|load balancer|customer survey|invoice template""")
_FOODS = _phrases("""
dark roast coffee|peanut sauce|oat milk|sourdough bread|pickled radish|lentil soup|goat cheese|jasmine tea|
shellfish|mango chutney|roasted almonds|spicy ramen|rye crackers|blueberry pancakes|fennel salad|black olives|
smoked trout|coconut curry|poppy seed cake|gluten""")
_HOBBIES = _phrases("""
bouldering|watercolour painting|trail running|the cello|bread baking|bird watching|chess puzzles|
open water swimming|woodworking|astrophotography|salsa dancing|knitting socks|restoring radios|crosswords|kayaking|
pottery|gardening|writing haiku|table tennis|sketching bridges""")
_TOOLS = _phrases("""
Postgres|Kubernetes|Neovim|Terraform|Figma|Rust|TypeScript|Grafana|Obsidian|Blender|Excel|Jupyter|Ansible|
Redis|Svelte|Zotero|Lightroom|Ableton|Nix|Elixir""")
_ADJECTIVES = _words("""
reliable confusing delightful slow expensive elegant fragile quiet overrated surprising tedious
practical brilliant noisy outdated comfortable""")
_DAYS = _words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
_MONTHS = _words("January February March April May June July August September October November December")

_FACTS = (
    "My {kin} {name} moved to {place} in {month} and now spends most weekends on {hobby}.",
    "I prefer {food} over {food2}, except on {day} mornings when {name} cooks.",
    "The {work} is rebooted every {day} at {hour}:{minute:02d}, so never deploy {tool} changes then.",
    "{name} is allergic to {food} and carries medicine when travelling to {place}.",
    "We decided to write the {work} in {tool}, because the old one was {adjective} and {adjective2}.",
    "Flight TP{number} to {place} leaves on {day} at {hour}:{minute:02d} from gate {gate}.",
    "I have been learning {hobby} since {month}, about {gate} minutes a day, and find it {adjective}.",
    "{name} thinks that {tool} is {adjective}; I told her that the {work} proves otherwise.",
    "The budget for the {work} is {number} euros until the end of {month}, says {name}.",
    "Remember to call my {kin} {name} about the {hobby} course in {place} before {day}.",
    "In {place} the best {food} is at the {adjective} café near the station, open until {hour}.",
    "{name} owns the {work} now; ask before touching its {tool} configuration.",
    "My {kin} gave me a book on {hobby} by {name} for my birthday in {month}.",
    "For the {work} we agreed on {gate} reviewers, with {name} deciding when they disagree.",
    "I stopped eating {food} in {month} after the doctor in {place} found it {adjective} for me.",
)
_TAILS = (
    " It costs {number} a year.",
    " {name2} disagrees.",
    " That was {adjective2}.",
    " See ticket {number}.",
    " Ask {name2} on {day}.",
)
_QUESTIONS = (
    "where does my {kin} {name} live since {month}?",
    "what does {name} think about {tool}?",
    "when is the {work} rebooted on {day}?",
    "who owns the {work} and its {tool} setup?",
    "which flight goes to {place} on {day}?",
    "is {name} allergic to {food}?",
    "how much money is left for the {work} in {month}?",
    "best {adjective} place for {food} in {place}",
    "why did we choose {tool} for the {work}?",
    "{name} {hobby} course {place}",
    "what did the doctor in {place} say about {food}?",
    "since when do I practise {hobby} with {name}?",
)


_CODED = "The locker for {hobby} in {place} opens with the code word {code}."
# Few words but that one speak for any memory: a right answer must stand out among 200 memories and among 50,000.
_ABOUT_CODE = (
    "what does {name} use the code word {code} for?",
    "{name} forgot the code word {code}, room {gate}",
)


def code_word(number: int) -> str:
    """A made-up word, another one for each number."""
    chance = random.Random(f"code word {number}")
    return "".join(chance.choice("bdfgklmprtvz") + chance.choice("aeiou") for _ in range(5))


class Texts:
    """Distinct memories (8 to 25 words) and distinct questions, for ever."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._given: set[str] = set()

    def memory(self) -> str:
        """A memory that this generator has not given before."""
        return self._distinct(self._memory)

    def question(self) -> str:
        """A question or keywords, not given before: no cache of queries can help."""
        return self._distinct(lambda: self._fill(self._random.choice(_QUESTIONS)))

    def with_code(self, code: str) -> str:
        """A memory that holds this word."""
        return self._distinct(lambda: self._fill(_CODED, code))

    def question_about(self, code: str) -> str:
        """A question, not given before, whose answer is the memory with this word."""
        return self._distinct(lambda: self._fill(self._random.choice(_ABOUT_CODE), code))

    def never(self, texts: Iterable[str]) -> None:
        """Count these as given."""
        self._given.update(texts)

    def memories(self, count: int) -> list[str]:
        return [self.memory() for _ in range(count)]

    def _memory(self) -> str:
        tail = self._random.choice(_TAILS) if self._random.random() < 0.5 else ""
        return self._fill(self._random.choice(_FACTS) + tail)

    def _fill(self, template: str, code: str = "") -> str:
        choose, number = self._random.choice, self._random.randint
        return template.format(
            name=choose(_NAMES), name2=choose(_NAMES), place=choose(_PLACES), kin=choose(_KIN), work=choose(_WORK),
            food=choose(_FOODS), food2=choose(_FOODS), hobby=choose(_HOBBIES), tool=choose(_TOOLS),
            adjective=choose(_ADJECTIVES), adjective2=choose(_ADJECTIVES), day=choose(_DAYS), month=choose(_MONTHS),
            hour=number(0, 23), minute=number(0, 59), gate=number(2, 60), number=number(100, 9999),
            code=code,
        )  # fmt: skip

    def _distinct(self, make: Callable[[], str]) -> str:
        while True:
            text = make()
            if text not in self._given:
                self._given.add(text)
                return text
