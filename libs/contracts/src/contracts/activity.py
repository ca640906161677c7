"""What was written and read over time."""

from typing import Literal

from pydantic import Field

from contracts.api import View

Step = Literal["day", "week", "month"]


class AppActivity(View):
    """What an app wrote and read in each step: how many memories that are there still, and how many answers."""

    id: str
    name: str
    added: list[int]
    reads: list[int]


class Activity(View):
    """What was written and read over time, in steps of UTC: `starts` says when each begins, and each list of an app has
    a number for each. The last step is the one that is not over. Apps that did nothing are left out."""

    step: Step
    starts: list[int] = Field(description="Epoch seconds, oldest first")
    apps: list[AppActivity] = Field(description="Busiest first")
