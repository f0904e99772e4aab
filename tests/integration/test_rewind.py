"""`funnel rewind` over a real log: whatever the cut, workers make the same numbers of it again.

log       ──────────────────────────────────────▶  unchanged, but for hops that are sent once more
journal   flush flush flush ✂ flush flush flush     whole flushes go, of every topic
worker                      ─────────────────────▶  the oracle's numbers
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.console import Console

from deploy.embedded.supervise import ChildFailed
from deploy.offline import OfflineError
from deploy.rewind import Rewind
from deploy.rollups import named, states
from deploy.verification import compare_now
from schemas.topics import IDENTIFIED_TOPICS, TOPICS
from simulator.generate import generate
from simulator.mess import Mess
from simulator.send import send_to_kafka
from sinks.clickhouse.client import Connection
from sinks.clickhouse.grains import ROLLUPS
from sinks.clickhouse.journal import newest_flushes
from sinks.clickhouse.owners import write_owners
from sinks.clickhouse.rebuild import rebuild
from streams.broker import describe_cluster
from streams.unit import source_name
from tests.support import PARTITIONS, Running, drain, funnel

EVENTS = 2_400
SLICES = 8


@pytest.fixture(scope="module")
def running(running: Running) -> Running:
    """All of it has been processed, in many flushes, by a worker that is stopped."""
    items = list(generate(11, EVENTS, int(time.time() * 1000), Mess(misrouted=0.02)))
    for start in range(0, EVENTS, EVENTS // SLICES):
        send_to_kafka(items[start : start + EVENTS // SLICES], running.values["kafka"])
        time.sleep(0.3)
    drain(running.values)
    running.stack.processes["worker"].child.stop()
    return running


def nobody(_bootstrap: str, _group: str) -> list[str]:
    return []


def fences(running: Running, journal: Connection) -> dict[str, int]:
    cluster = describe_cluster(running.values["kafka"], TOPICS)
    lines = [(topic, number) for topic in TOPICS for number in range(PARTITIONS)]
    names = [source_name(cluster.id, line, cluster.topic_ids[line[0]]) for line in lines]
    return newest_flushes(journal, names)


def source_of(running: Running, topic: str, number: int) -> str:
    cluster = describe_cluster(running.values["kafka"], TOPICS)
    return source_name(cluster.id, (topic, number), cluster.topic_ids[topic])


def until(true: Callable[[], bool], patience: float = 60.0) -> bool:
    """Whether it becomes true within ``patience`` seconds."""
    deadline = time.monotonic() + patience
    while not true() and time.monotonic() < deadline:
        time.sleep(0.1)
    return true()


def middle(journal: Connection, topic: str) -> tuple[int, int]:
    """An offset in the middle of a topic's partition 1, and the record time there in ms."""
    rows = journal.query(
        "SELECT _offset, toUnixTimestamp64Milli(_record_time) FROM journal "
        f"WHERE kind IN ('click', 'conversion') AND endsWith(_source, '{topic}/1') ORDER BY _offset"
    )
    offset, moment = rows[len(rows) // 2]
    return int(offset), int(moment)


def assert_exact(running: Running) -> None:
    """A worker processes what is to be processed; then every number is the oracle's, and the ledger is the log's."""
    worker = running.stack.start_worker()
    try:
        drain(running.values)
        console = Console(width=200, record=True)
        assert compare_now(running.values, console, None).ok, console.export_text()
    finally:
        worker.child.stop()
    audited = funnel(running, "audit")
    assert audited.returncode == 0, audited.stdout


def cut_at(journal: Connection, topic: str) -> str:
    return f"{topic}/1/{middle(journal, topic)[0]}"


def test_from_a_record_on_everything_is_made_again(running: Running, journal: Connection) -> None:
    to, before = cut_at(journal, "clicks"), fences(running, journal)
    [(rows,)] = journal.query("SELECT count() FROM journal")
    dry = funnel(running, "rewind", "--to", to, "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert "would remove " in dry.stdout
    assert journal.query("SELECT count() FROM journal") == [(rows,)]
    done = funnel(running, "rewind", "--to", to, "--yes")
    assert done.returncode == 0, done.stderr
    after = fences(running, journal)
    assert all(fence < before[source] for source, fence in after.items() if "impressions" in source)
    assert after[source_of(running, "clicks", 1)] < int(to.split("/")[2])
    [(left,)] = journal.query("SELECT count() FROM journal")
    assert 0 < left < rows
    assert f"removed {rows - left:,} rows" in done.stdout
    assert_exact(running)


def test_interrupted_it_is_repeated(
    running: Running, journal: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It dies twice; meanwhile no worker starts over what is left.

    rows begin to go ✗      rows gone, first rollup made ✗      rows gone, rollups made
    """
    _, moment = middle(journal, "conversions")
    to = datetime.fromtimestamp(moment / 1000, UTC).isoformat()
    for step in ("wait_for_removals", "rebuild"):
        one = Rewind(running.values, journal, nobody, datetime.now(UTC))
        one.stop_workers()
        plan = one.plan(to, accept_loss=False)
        with monkeypatch.context() as patched:
            patched.setattr(f"deploy.rewind.{step}", Dying(1 if step == "rebuild" else 0))
            with pytest.raises(InterruptedError):
                one.remove(plan)
                one.rebuild()
    with pytest.raises(ChildFailed):
        running.stack.start_worker()
    assert "a rewind was interrupted" in running.stack.processes["worker"].child.log.read_text()
    assert funnel(running, "rewind", "--to", to, "--yes").returncode == 0
    gone = f"SELECT count() FROM journal WHERE _record_time >= fromUnixTimestamp64Milli({moment})"
    assert journal.query(gone) == [(0,)]
    assert_exact(running)


class Dying:
    """A step in which the process dies, after that many times in which it did not."""

    def __init__(self, times: int) -> None:
        self.times = times

    def __call__(self, *arguments: Any, **_named: Any) -> int:
        if not self.times:
            raise InterruptedError
        self.times -= 1
        return rebuild(arguments[0], arguments[1])


def test_rollups_are_made_anew_and_filled_over_the_journal(running: Running, journal: Connection) -> None:
    total = "SELECT sum(clicks), sum(revenue) FROM rollup_hour WHERE _source = ''"
    before = journal.query(total)
    [(records,)] = journal.query("SELECT sum(journaled) FROM ledger")
    journal.execute("INSERT INTO rollup_hour (bucket, clicks) VALUES (1760000000, 5)")
    rebuilt = funnel(running, "rollup", "rebuild", "hour")
    assert f"hour: rebuilt from {records:,} records" in rebuilt.stdout, rebuilt.stderr
    assert journal.query(total) == before
    journal.execute("DROP TABLE rollup_hour")
    assert "no table" in funnel(running, "rollup", "list").stdout
    created = funnel(running, "rollup", "create", "hour")
    assert f"hour: derived {records:,} records" in created.stdout, created.stderr
    assert journal.query(total) == before
    assert [one.waiting for one in states(journal)] == [0] * len(ROLLUPS)


def test_a_rollup_that_does_not_exist() -> None:
    with pytest.raises(OfflineError, match="'week' is not a rollup; known: minute, hour, day"):
        named("week")


def test_a_worker_that_runs_loses_its_sources(running: Running, journal: Connection) -> None:
    """Where a broker does not say who is in the group, the rewind is as safe: what that worker sends late is refused, and it ends."""
    worker = running.stack.start_worker()
    one = Rewind(running.values, journal, nobody, datetime.now(UTC))
    one.stop_workers()
    before = fences(running, journal)
    send_to_kafka(list(generate(12, 200, int(time.time() * 1000), Mess())), running.values["kafka"])
    assert until(lambda: worker.child.pid is None)
    assert worker.child.stop() == 1
    assert fences(running, journal) == before


def test_a_worker_that_comes_back_meanwhile_is_noticed(running: Running, journal: Connection) -> None:
    one = Rewind(running.values, journal, nobody, datetime.now(UTC))
    one.stop_workers()
    plan = one.plan(cut_at(journal, "clicks"), accept_loss=False)._replace(cuts=[])
    write_owners(journal, [source_of(running, "leads", 2)], 99)
    with pytest.raises(OfflineError, match=r"a worker has taken over \S+/leads/2 meanwhile"):
        one.remove(plan)


def test_refuses_while_the_group_has_members(running: Running, journal: Connection) -> None:
    one = Rewind(running.values, journal, lambda *_: ["funnel-worker at /10.0.0.7"], datetime.now(UTC))
    with pytest.raises(OfflineError, match=r"funnel-worker at /10\.0\.0\.7"):
        one.stop_workers()


def test_refuses_below_the_logs_start(
    running: Running, journal: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log began at 0 when it was read; since then Kafka has deleted its first half."""
    offset, _ = middle(journal, "clicks")
    bounds = Rewind._bounds

    def later(one: Rewind) -> dict[tuple[str, int], tuple[int, int]]:
        return {line: (offset, end) for line, (_, end) in bounds(one).items()}

    monkeypatch.setattr(Rewind, "_bounds", later)
    one = Rewind(running.values, journal, nobody, datetime.now(UTC))
    with pytest.raises(OfflineError, match=f"but the log begins at {offset}"):
        one.plan("clicks/1/1", accept_loss=False)


def test_refuses_to_forward_again_what_would_no_longer_be_recognised(
    running: Running, journal: Connection
) -> None:
    """Records came in wrong partitions and were forwarded; the window for duplicates is said to be shorter than what would go."""
    identified = " OR ".join(f"_source LIKE '%/{topic}/%'" for topic in IDENTIFIED_TOPICS)
    [(forwards,)] = journal.query(
        f"SELECT count() FROM journal WHERE kind = 'forward' AND ({identified}) "
        "AND _record_time < (SELECT max(_record_time) FROM journal)"
    )
    assert forwards > 0
    one = Rewind({**running.values, "dedup_window_hours": 0}, journal, nobody, datetime.now(UTC))
    with pytest.raises(
        OfflineError, match=r"[\d,]+ records that go came in a wrong partition .* Rewind less far"
    ):
        one.plan("2020-01-01T00:00Z", accept_loss=False)


def test_refuses_where_offsets_are_those_of_two_logs(running: Running, journal: Connection) -> None:
    """The last flush of a source is there twice, as if the log had been put back and gone on in another way."""
    one = Rewind(running.values, journal, nobody, datetime.now(UTC))
    one.stop_workers()
    source = source_of(running, "clicks", 1)
    journal.execute(
        f"INSERT INTO journal SELECT * REPLACE ({one._token} AS _owner) FROM journal "
        f"WHERE kind = 'flush' AND _source = '{source}' ORDER BY _offset DESC LIMIT 1"
    )
    try:
        with pytest.raises(
            OfflineError, match="clicks/1: flushes overlap, so its offsets are those of more than one log"
        ):
            one.plan(cut_at(journal, "clicks"), accept_loss=False)
    finally:
        journal.execute(f"ALTER TABLE journal DELETE WHERE _owner = {one._token}", {"mutations_sync": 2})


@pytest.mark.parametrize(
    ("to", "said"),
    [
        ("clicks/77/1", "there is no partition 77 of clicks"),
        ("clicks/1/123456789", "the journal does not go up to clicks/1/123456789"),
    ],
)
def test_what_is_not_there_is_refused(running: Running, journal: Connection, to: str, said: str) -> None:
    one = Rewind(running.values, journal, nobody, datetime.now(UTC))
    with pytest.raises(OfflineError, match=said):
        one.plan(to, accept_loss=False)
