"""Pixel hits per second that the broker has acknowledged, beside what a bare granian says hello with.

``python -m benchmarks.collector [--rounds N] [--seconds N]`` prints one JSON line. Both are served alike, by a process of
their own on one event loop, and loaded alike by wrk (one thread, 128 connections, a browser's headers), in turns: the figures
are medians of the rounds, so that a busy neighbour hits both. Broker and wrk share the machine with them. The collector has a
spool, as embedded, which an answering broker leaves unused. ``verified``: nothing
but successes were counted, and at least as many different events are in Kafka as hits were acknowledged.
"""

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import httpx

from benchmarks.interpreter import interpreter
from benchmarks.wrk import Load, load, missing
from collector.request import Receive, Scope, Send
from collector.server import on_event_loop, run, serve_app
from collector.settings import CollectorSettings
from deploy.embedded.broker import Broker
from deploy.embedded.ports import free_port
from deploy.embedded.supervise import Child
from deploy.settings import read_settings
from deploy.topics import create_topics
from schemas.encoding import decode_body
from schemas.framing import schema_id_of
from schemas.topics import IMPRESSIONS
from simulator.kafka import read_log

READY_SECONDS = 30.0
LINK_KEY = "benchmark"
PIXEL = "/i.gif?campaign=spring&affiliate=a17&offer=o3&creative=k5&utm_source=google&utm_medium=cpc&sub1=abc"


def main() -> None:
    """Run the benchmark and print its line; serves one of the two if asked to (that is what the benchmark starts)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4, help="of load, per round and server")
    parser.add_argument("--serve", choices=["hello", "collector"], help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--bootstrap", default="", help=argparse.SUPPRESS)
    parser.add_argument("--spool", default="", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve == "hello":
        on_event_loop(serve_app(hello, "127.0.0.1", arguments.port))
    elif arguments.serve == "collector":
        settings = CollectorSettings(
            bootstrap=arguments.bootstrap,
            port=arguments.port,
            spool_dir=arguments.spool,
            link_keys=(LINK_KEY,),
        )
        run(settings)
    else:
        result = measure(arguments.rounds, arguments.seconds)
        print(json.dumps(result))
        sys.exit(0 if result["verified"] else 1)


async def hello(_scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer as little as an application can."""
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"5")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"hello"})


def measure(rounds: int, seconds: int) -> dict[str, Any]:
    """Load both servers in turns; return the benchmark's figures."""
    error = missing()
    if error:
        print(error, file=sys.stderr)
        return {"benchmark": "collector", "error": error, "verified": False}
    with tempfile.TemporaryDirectory(prefix="funnel-bench-") as directory:
        broker = Broker(directory)
        broker.start()
        try:
            create_topics(read_settings({"FUNNEL_KAFKA": broker.bootstrap}))
            hellos, hits = alternate(Path(directory), broker.bootstrap, rounds, seconds)
            events = distinct_events(broker.bootstrap)
        finally:
            broker.kill()
    return figures(hellos, hits, events)


def alternate(directory: Path, bootstrap: str, rounds: int, seconds: int) -> tuple[list[Load], list[Load]]:
    """Return the loads of the bare server and of the collector, one of each per round."""
    bare, bare_url = server("hello", directory, bootstrap)
    collector, collector_url = server("collector", directory, bootstrap)
    try:
        bare.start(lambda: answers(bare_url), READY_SECONDS)
        collector.start(lambda: answers(f"{collector_url}/readyz"), READY_SECONDS)
        load(collector_url + PIXEL, 1)
        pairs = [(load(bare_url, seconds), load(collector_url + PIXEL, seconds)) for _ in range(rounds)]
    finally:
        bare.stop()
        collector.stop()
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def server(kind: str, directory: Path, bootstrap: str) -> tuple[Child, str]:
    """Return one of the two servers as a child that is not started yet, and its URL."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.collector", "--serve", kind]
    command += ["--port", str(port), "--bootstrap", bootstrap, "--spool", str(directory / "spool")]
    return Child(kind, command, directory / f"{kind}.log"), f"http://127.0.0.1:{port}"


def answers(url: str) -> bool:
    """Whether a GET of ``url`` succeeds."""
    try:
        return httpx.get(url).is_success
    except httpx.TransportError:
        return False


def distinct_events(bootstrap: str) -> int:
    """Return how many different event ids the impressions in Kafka have."""
    log = read_log(bootstrap, [IMPRESSIONS])
    values = [record.value or b"" for span in log.lines.values() for record in span.records]
    return len({decode_body(schema_id_of(value) or 0, value)["event_id"] for value in values})


def figures(hellos: list[Load], hits: list[Load], events: int) -> dict[str, Any]:
    """Return the benchmark's line. The ratio is the median of the rounds' ratios."""
    acknowledged = sum(hit.requests - hit.failed for hit in hits)
    ratios = [hit.per_second / bare.per_second for bare, hit in zip(hellos, hits, strict=True)]
    return {
        "benchmark": "collector",
        "python": interpreter(),
        "hits_per_second": round(statistics.median(hit.per_second for hit in hits)),
        "hello_per_second": round(statistics.median(bare.per_second for bare in hellos)),
        "ratio": round(statistics.median(ratios), 3),
        "p99_ms": round(statistics.median(hit.p99_ms for hit in hits), 1),
        "hits": acknowledged,
        "events_in_kafka": events,
        "verified": events >= acknowledged > 0 and not any(hit.failed for hit in hits),
    }


if __name__ == "__main__":
    main()
