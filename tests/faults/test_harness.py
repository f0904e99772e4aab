"""The harness itself: a short round with zeros in it, a plan that its seed repeats, and a judge that sees what is broken on purpose.

collector  ───✗ (kill -9) ▶──────────────────▶        then row by row: one taken away, one doubled, one number changed,
worker     ───────────────────✗ (kill -9) ▶──▶        one acknowledged that never was: each is seen
ClickHouse ─────────⋯ answers are lost ──────▶
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from deploy.settings import clickhouse_settings
from sinks.clickhouse.client import Connection, connect
from tests.faults.harness.faults import faults_for
from tests.faults.harness.judge import Verdict, look
from tests.faults.harness.rounds import Played, play
from tests.faults.harness.schedule import FULL, PAUSE_SECONDS, SHORT, Step, plan
from tests.faults.harness.summary import closing
from tests.faults.harness.world import World

SEED, EVENTS = 11, 1_000
STEPS = [
    Step(1.0, "collector-killed", 0.5, 0.0),
    Step(1.0, "worker-clickhouse-loses-answers", 1.5, 0.5),
    Step(0.5, "worker-killed", 0.5, 0.0),
]
OF_A_LOG_THAT_LASTS = [Step(0.5, "broker-killed", 1.0, 0.0)]
A_CLICK = "WHERE kind = 'click' ORDER BY _source, _offset LIMIT 1"


class Round(NamedTuple):
    """A round that has been played, its world still there."""

    world: World
    path: Path
    played: Played


@pytest.fixture(scope="module", params=["embedded", pytest.param("apache", marks=pytest.mark.apache)])
def short_round(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Round]:
    """A round on each broker."""
    directory = tmp_path_factory.mktemp("round")
    path = directory / "acknowledged.txt"
    steps = STEPS if request.param == "embedded" else [*STEPS, *OF_A_LOG_THAT_LASTS]
    with World(directory, request.param) as world:
        yield Round(world, path, play(world, steps, SEED, EVENTS, path, lambda count: None))


@pytest.fixture
def connection(short_round: Round) -> Iterator[Connection]:
    """A connection to the round's ClickHouse."""
    connection = connect(clickhouse_settings(short_round.world.values))
    yield connection
    connection.close()


def seen(short_round: Round, path: Path | None = None) -> Verdict:
    verdict = Verdict()
    look(short_round.world.values, path or short_round.path, verdict)
    return verdict


def test_a_short_round_loses_doubles_and_changes_nothing(short_round: Round) -> None:
    played = short_round.played
    assert played.verdict.ok, played.verdict.problems
    assert played.acknowledged > EVENTS * 0.9
    assert played.recovery_seconds > 0


def test_the_judge_sees_an_acknowledged_event_that_is_nowhere(short_round: Round, tmp_path: Path) -> None:
    path = tmp_path / "acknowledged.txt"
    path.write_text(short_round.path.read_text() + "click 00000000-0000-4000-8000-000000000000\n")
    verdict = seen(short_round, path)
    assert (verdict.lost, verdict.doubled, verdict.wrong) == (1, 0, 0)


def test_the_judge_sees_a_wrong_number(short_round: Round, connection: Connection) -> None:
    connection.execute(
        "INSERT INTO rollup_minute (bucket, campaign, clicks) VALUES ('2026-01-01 00:00:00', 'spring', 1)"
    )
    verdict = seen(short_round)
    assert verdict.wrong > 0
    assert (verdict.lost, verdict.doubled) == (0, 0)


def test_the_judge_sees_a_doubled_row(short_round: Round, connection: Connection) -> None:
    owned = "SELECT * REPLACE (joinGet('owners', 'token', _source) AS _owner) FROM journal"
    connection.execute(f"INSERT INTO journal {owned} {A_CLICK}")
    assert seen(short_round).doubled == 1


def test_the_judge_sees_a_lost_row(short_round: Round, connection: Connection) -> None:
    kept = short_round.path.read_text().splitlines()
    ids = ", ".join(f"'{line.split()[1]}'" for line in kept if line.startswith("impression"))
    ((event_id,),) = connection.query(
        f"SELECT toString(event_id) FROM journal WHERE kind = 'impression' AND toString(event_id) IN ({ids}) LIMIT 1"
    )
    connection.execute(
        f"ALTER TABLE journal DELETE WHERE kind = 'impression' AND toString(event_id) = '{event_id}'",
        {"mutations_sync": 1},
    )
    assert seen(short_round).lost == 1


def test_a_seed_is_a_plan() -> None:
    names = list(faults_for("cluster"))
    assert plan(5, names, SHORT) == plan(5, names[::-1], SHORT) != plan(6, names, SHORT)
    assert len(plan(5, names, FULL)) == FULL.faults


def test_faults_are_apart_by_at_most_so_much_and_all_of_them_come() -> None:
    names = list(faults_for("cluster"))
    steps = [step for seed in range(200) for step in plan(seed, names, SHORT)]
    assert {step.fault for step in steps} == set(names)
    assert all(0 <= step.pause <= PAUSE_SECONDS and 0 <= step.share < 1 for step in steps)
    assert all(SHORT.least <= step.seconds <= SHORT.most for step in steps)


def test_a_broker_that_forgets_is_never_ended() -> None:
    assert not {"broker-killed", "broker-stopped"} & set(faults_for("embedded"))
    assert {"broker-killed", "broker-stopped", "rebalance-storm"} <= set(faults_for("apache"))


def test_the_closing_line_adds_up() -> None:
    steps = plan(1, ["poison"], SHORT)
    one, other = (
        Played(Verdict(lost=1, wrong=2), 10, 1.25, 1, steps),
        Played(Verdict(doubled=3), 5, 9.0, 0, steps),
    )
    line = closing([one, other], "embedded", [1, 2])
    measures = ("rounds", "events", "lost", "doubled", "wrong", "recovery_seconds_max", "restarts")
    assert tuple(line[name] for name in measures) == (2, 15, 1, 3, 2, 9.0, 1)
    assert line["faults"] == {"poison": 2 * SHORT.faults}
