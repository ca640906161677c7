from datetime import UTC, datetime

import pytest
from contracts.activity import Step
from gateway.use_cases.activity import beginnings


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ("day", ["2023-12-30", "2023-12-31", "2024-01-01"]),
        ("week", ["2023-12-18", "2023-12-25", "2024-01-01"]),
        ("month", ["2023-11-01", "2023-12-01", "2024-01-01"]),
    ],
)
def test_the_last_step_is_the_present_one_and_none_is_missing_at_the_turn_of_a_year(
    step: Step, expected: list[str]
) -> None:
    found = beginnings(datetime(2024, 1, 1, 23, 59, tzinfo=UTC), step, 3)
    assert [each.isoformat() for each in found] == [f"{day}T00:00:00+00:00" for day in expected]


def test_a_month_begins_on_its_first_day_even_where_the_one_before_is_shorter() -> None:
    found = beginnings(datetime(2024, 3, 31, tzinfo=UTC), "month", 2)
    assert [each.date().isoformat() for each in found] == ["2024-02-01", "2024-03-01"]
