"""What happens when: a plan that follows from its seed alone."""

import random
from collections.abc import Sequence
from typing import NamedTuple

PAUSE_SECONDS = 6.0


class Lengths(NamedTuple):
    """How long faults last (seconds, from and to), and how many there are in a round."""

    least: float
    most: float
    faults: int


SHORT = Lengths(0.5, 4.0, 5)
FULL = Lengths(1.0, 20.0, 12)


class Step(NamedTuple):
    """After ``pause`` seconds the fault of that name, for ``seconds``. ``share``, from 0 to below 1, decides on what the fault leaves open."""

    pause: float
    fault: str
    seconds: float
    share: float

    def __str__(self) -> str:
        return f"after {self.pause:.2f} s {self.fault} for {self.seconds:.2f} s ({self.share:.4f})"


def plan(seed: int, faults: Sequence[str], lengths: Lengths) -> list[Step]:
    """Return the round of ``seed``; the same seed, faults (in any order) and lengths make the same round."""
    chance = random.Random(f"faults {seed}")
    names = sorted(faults)
    return [
        Step(
            round(chance.uniform(0.0, PAUSE_SECONDS), 3),
            chance.choice(names),
            round(chance.uniform(lengths.least, lengths.most), 3),
            round(chance.random(), 6),
        )
        for _ in range(lengths.faults)
    ]


def duration(steps: Sequence[Step]) -> float:
    """Seconds that the steps take without what healing adds."""
    return sum(step.pause + step.seconds for step in steps)
