"""What rounds have found: in words, as a table, as one line."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.faults.harness.rounds import Played


def tell(console: Console, seed: int, one: Played) -> None:
    """Print a round's outcome; where something was found also the plan, so that it can be played again."""
    verdict = one.verdict
    console.print(
        f"seed {seed}: {one.acknowledged:,} ids acknowledged, lost {verdict.lost}, doubled {verdict.doubled}, wrong {verdict.wrong}, "
        f"recovered in {one.recovery_seconds:.1f} s, {one.restarts} restarts",
        style=None if verdict.ok else "red",
        soft_wrap=True,
        highlight=False,
    )
    if verdict.ok:
        return
    for number, step in enumerate(one.steps, 1):
        console.print(f"  {number}. {step}", soft_wrap=True, highlight=False)
    for problem in verdict.problems:
        console.print(f"  {problem}", style="red", soft_wrap=True, markup=False, highlight=False)


def closing(played: Sequence[Played], broker: str, seeds: Sequence[int]) -> dict[str, Any]:
    """Return the line that everything ends with."""
    return {
        "rounds": len(played),
        "events": sum(one.acknowledged for one in played),
        "lost": sum(one.verdict.lost for one in played),
        "doubled": sum(one.verdict.doubled for one in played),
        "wrong": sum(one.verdict.wrong for one in played),
        "recovery_seconds_max": round(max(one.recovery_seconds for one in played), 1),
        "broker": broker,
        "seeds": list(seeds),
        "restarts": sum(one.restarts for one in played),
        "faults": dict(sorted(Counter(step.fault for one in played for step in one.steps).items())),
    }


def matrix(played: Sequence[Played], broker: str) -> Table:
    """Return one row per fault that was played alone."""
    columns = ("fault", "for (s)", "acknowledged", "lost", "doubled", "wrong", "recovered (s)", "restarts")
    table = Table(*columns, title=f"Every fault alone: {broker}", title_justify="left")
    for one in played:
        step, verdict = one.steps[0], one.verdict
        found = (verdict.lost, verdict.doubled, verdict.wrong, f"{one.recovery_seconds:.1f}", one.restarts)
        table.add_row(step.fault, f"{step.seconds:.1f}", f"{one.acknowledged:,}", *map(str, found))
    return table
