"""The categories that Memlog brings along (surface §1.3). A user may describe one anew, and define others."""

from collections.abc import Iterable

from contracts.ids import normalize_text

SEED_CATEGORIES: tuple[tuple[str, str], ...] = (
    ("personal", "Facts about the person: name, age, birthday, home, family background, habits and daily life."),
    ("relationships", "Family, partner, children, friends, colleagues and pets, and what matters about them."),
    ("preferences", "Likes, dislikes and favourites: food, drink, music, style, and how things should be done."),
    ("health", "Illness, allergies, medication, doctors, fitness, sleep, diet and well-being."),
    ("travel", "Trips, flights, trains, hotels, holidays, destinations, visas and packing."),
    ("work", "Job, employer, role, colleagues at the office, meetings, tasks, deadlines and career."),
    ("education", "School, university, courses, degrees, exams, studying and learning a skill or a language."),
    ("projects", "Things being built or carried out: plans, milestones, repositories, renovations and hobbies."),
    (
        "AI/ML & technology",
        "Software, programming, hardware, gadgets, machine learning models and artificial intelligence.",
    ),
    ("technical support", "Errors, bugs, crashes, troubleshooting, configuration and fixing a device or a program."),
    ("finance", "Money: salary, bank accounts, budgets, savings, investments, taxes, insurance and debts."),
    ("shopping", "Things to buy or bought: shops, orders, prices, sizes, gifts, wish lists and groceries."),
    ("legal", "Contracts, law, lawyers, courts, licences, permits, rights and official documents."),
    ("entertainment", "Films, series, books, music, games, concerts, sports and other leisure."),
    ("messages", "E-mails, letters, chats and calls: what was written or said to whom, and what to answer."),
    ("customer support", "Requests, complaints, refunds, tickets and warranty cases with a company's service."),
    ("product feedback", "Opinions about a product or feature: reviews, wishes, praise and criticism."),
    ("news", "Current events: politics, economy, science, weather and what was reported."),
    ("organization", "Appointments, calendars, reminders, to-do lists, routines, and where things are kept."),
    ("goals", "What the person wants to reach: resolutions, ambitions, targets and long-term plans."),
)
"""Name and description of each; the local classifier compares texts with the descriptions."""


def same_category(one: str, other: str) -> bool:
    """Whether two names mean one category: white space and case do not tell them apart (as in `ids.category_id`)."""
    return category_key(one) == category_key(other)


def category_key(name: str) -> str:
    """What a name is compared by."""
    return normalize_text(name).casefold()


def category_keys(names: Iterable[str]) -> tuple[str, ...]:
    """What the names are compared by, each once: filters and stores use these, and people see the names."""
    return tuple(dict.fromkeys(map(category_key, names)))
