"""Run rounds of faults and print what they found, last of all one line of JSON; the exit status is 0 if nothing was."""

import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console

from deploy.progress import bar
from tests.faults.harness.faults import faults_for
from tests.faults.harness.rounds import Played, play
from tests.faults.harness.schedule import FULL, SHORT, Lengths, Step, plan
from tests.faults.harness.summary import closing, matrix, tell
from tests.faults.harness.world import BROKERS, World


@click.command(help=__doc__)
@click.option("--seed", default=1, show_default=True, help="Seed of the first round; the next ones count on.")
@click.option(
    "--rounds", default=3, show_default=True, help="Rounds, each with a seed and a stack of its own."
)
@click.option("--events", default=5_000, show_default=True, help="Events per round; with --each, per fault.")
@click.option("--broker", type=click.Choice(BROKERS), default=BROKERS[0], show_default=True)
@click.option(
    "--short/--full", default=True, show_default=True, help="How long faults last and how many there are."
)
@click.option("--each", is_flag=True, help="Instead of rounds: every fault alone, once, and a table of them.")
@click.option("--fault", "chosen", multiple=True, help="Only this fault; may be given several times.")
@click.option("--keep", type=click.Path(path_type=Path), help="Folder for what a failed round leaves behind.")
def main(
    seed: int,
    rounds: int,
    events: int,
    broker: str,
    short: bool,
    each: bool,
    chosen: Sequence[str],
    keep: Path | None,
) -> None:
    console = Console(stderr=True)
    faults = sorted(faults_for(broker))
    unknown = set(chosen) - set(faults)
    if unknown:
        raise click.BadParameter(f"{', '.join(sorted(unknown))}: none of {', '.join(faults)}")
    faults = sorted(chosen) or faults
    lengths = SHORT if short else FULL
    if each:
        plans = [(seed + place, _alone(seed + place, name, lengths)) for place, name in enumerate(faults)]
    else:
        plans = [(number, plan(number, faults, lengths)) for number in range(seed, seed + rounds)]
    played = run(plans, events, broker, console, keep, reuse=each)
    if each:
        console.print(matrix(played, broker))
    line = closing(played, broker, [number for number, _ in plans])
    click.echo(json.dumps(line))
    sys.exit(1 if line["lost"] or line["doubled"] or line["wrong"] else 0)


def run(
    plans: Sequence[tuple[int, Sequence[Step]]],
    events: int,
    broker: str,
    console: Console,
    keep: Path | None,
    *,
    reuse: bool,
) -> list[Played]:
    """Play every plan and say what was found. ``reuse``: one stack for all of them, as long as nothing is found."""
    played: list[Played] = []
    with bar(console) as progress:
        while len(played) < len(plans):
            directory = Path(tempfile.mkdtemp(prefix="funnel-faults-"))
            coming = plans[len(played) :] if reuse else [plans[len(played)]]
            with World(directory, broker) as world:
                for seed, steps in coming:
                    task = progress.add_task(_described(seed, steps), total=events)
                    path = directory / "acknowledged.txt"
                    one = play(
                        world, steps, seed, events, path, lambda n, task=task: progress.advance(task, n)
                    )
                    tell(console, seed, one)
                    played.append(one)
                    if not one.verdict.ok:
                        break
            _remove(directory, played[-1], keep, console)
    return played


def _alone(seed: int, name: str, lengths: Lengths) -> list[Step]:
    """The fault of that name once, as long as the first of its seed's round."""
    return plan(seed, [name], lengths)[:1]


def _described(seed: int, steps: Sequence[Step]) -> str:
    return f"seed {seed}: {steps[0].fault if len(steps) == 1 else f'{len(steps)} faults'}"


def _remove(directory: Path, last: Played, keep: Path | None, console: Console) -> None:
    if not last.verdict.ok and keep is not None:
        console.print(f"left behind: {shutil.move(directory, keep)}")
    else:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
