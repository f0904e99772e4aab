"""What attribution models cost: the pipeline benchmark with all of them on against last click alone, in one run.

``python -m benchmarks.attribution [--events N] [--rounds N]`` prints one JSON line. ``attribution``: events a second with all models;
``ratio``: that to the events a second with last click alone, each the best of its rounds, which take turns.
``cpu_ratio``: likewise of the CPU time of worker, broker and ClickHouse, which other work on the machine disturbs less.
``verified``: in every round the oracle's final numbers equal ClickHouse's.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.pipeline import pipeline, say
from schemas.attribution import default_models

LAST_CLICK = {
    "models": [{"model": "last_click", "version": 1, "rule": "last", "lookback_hours": {"click": 720}}]
}


def main() -> None:
    """Run the benchmark and print its line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    alone: list[dict[str, Any]] = []
    together: list[dict[str, Any]] = []
    for _ in range(arguments.rounds):
        alone.append(measured(arguments.events, LAST_CLICK))
        together.append(measured(arguments.events, None))
    best_alone, best = (
        max(rounds, key=lambda one: float(one["events_per_second"])) for rounds in (alone, together)
    )
    result = {
        "benchmark": "attribution",
        "events": arguments.events,
        "models": len(default_models()),
        "attribution": best["events_per_second"],
        "last_click": best_alone["events_per_second"],
        "ratio": round(best["events_per_second"] / best_alone["events_per_second"], 2),
        "cpu_ratio": round(total_cpu(best_alone) / total_cpu(best), 2),
        "cpu_seconds": {"all": best["cpu_seconds"], "last_click": best_alone["cpu_seconds"]},
        "cpu_seconds_by_stage": {
            "all": best["cpu_seconds_by_stage"],
            "last_click": best_alone["cpu_seconds_by_stage"],
        },
        "verified": all(one["verified"] for one in (*alone, *together)),
    }
    print(json.dumps(result))
    sys.exit(0 if result["verified"] else 1)


def measured(events: int, models: dict[str, Any] | None) -> dict[str, Any]:
    """Return the figures of the pipeline under ``models``, None: those that come with funnel."""
    say("last click alone" if models else "all models")
    with tempfile.TemporaryDirectory(prefix="funnel-bench-") as directory:
        file = Path(directory) / "models.json"
        file.write_text(json.dumps(models))
        more = {"FUNNEL_ATTRIBUTION_FILE": str(file)} if models else {}
        return pipeline(Path(directory), events, **more)


def total_cpu(figures: dict[str, Any]) -> float:
    """Return the CPU seconds of all processes."""
    spent: dict[str, float] = figures["cpu_seconds"]
    return sum(spent.values())


if __name__ == "__main__":
    main()
