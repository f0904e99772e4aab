"""wrk, as the benchmarks use it."""

import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

CONNECTIONS = 128
HEADERS = {
    "User-Agent": "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/126.0.0.0 Safari/537.36",
    "Referer": "https://news.example/2026/11/a-story",
}


class Load(NamedTuple):
    """What wrk saw: all requests of one run, those of them that failed, requests per second, 99th percentile in ms."""

    requests: int
    failed: int
    per_second: float
    p99_ms: float


def missing() -> str:
    """Return what to say where wrk is not installed, else nothing."""
    return "" if shutil.which("wrk") else "wrk is not installed (apt-get install wrk): nothing was measured"


def load(url: str, seconds: int, per_second: float = 0.0) -> Load:
    """Return what wrk sees of ``url`` in so many seconds, as fast as it can, or at no more than about ``per_second``.

    Paced, each connection pauses before a request; the pause is no part of the latency.
    """
    headers = [part for name, value in HEADERS.items() for part in ("-H", f"{name}: {value}")]
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", *headers]
    with tempfile.TemporaryDirectory() as folder:
        if per_second:
            script = Path(folder) / "pace.lua"
            pause = round(1000 * CONNECTIONS / per_second)
            # Spread evenly around the mean, or all connections would send at once.
            script.write_text(f"function delay() return math.random(0, {2 * pause}) end\n")
            command += ["-s", str(script)]
        report = subprocess.run([*command, url], capture_output=True, text=True, check=True).stdout
    return Load(
        int(_number(r"(\d+) requests in", report)),
        int(_number(r"Non-2xx or 3xx responses: (\d+)", report) + _number(r"timeout (\d+)", report)),
        _number(r"Requests/sec:\s+([\d.]+)", report),
        _milliseconds(report),
    )


def _number(pattern: str, report: str) -> float:
    found = re.search(pattern, report)
    return float(found[1]) if found else 0.0


def _milliseconds(report: str) -> float:
    found = re.search(r"99%\s+([\d.]+)(us|ms|s)\b", report)
    assert found is not None, report
    return float(found[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[found[2]]
