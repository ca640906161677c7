"""What a write is waited for. Apart from `contracts.api`, since the command line names it without the models there."""

from typing import Literal

Wait = Literal["accepted", "stored", "searchable"]
