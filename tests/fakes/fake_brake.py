"""A brake that stands as a test says; it counts how often it is looked at."""

from __future__ import annotations

from remediator.model.brakes import BrakeState, Engaged, Released, Unreadable


class FakeBrake:
    every = 5.0

    def __init__(self, name: str = "brake of the test") -> None:
        self.name = name
        self.state: BrakeState = Released(name)
        self.looks = 0

    async def look(self) -> BrakeState:
        self.looks += 1
        return self.state

    def engage(self, why: str = "storage migration") -> None:
        self.state = Engaged(self.name, why, "let go of the brake of the test")

    def release(self) -> None:
        self.state = Released(self.name)

    def hide(self, why: str = "it is dark") -> None:
        """It can no longer be read."""
        self.state = Unreadable(self.name, why)
