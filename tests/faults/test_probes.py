"""What a worker's probes say while what it needs is away: it is alive, but not ready; and ready again afterwards.

broker      ──────■■■■■■──────────────   frozen, then gone on
ClickHouse  ──────────────────■■■■■───
/readyz     200 ····· 503 ··· 200 · 503 · 200
/livez      200 ─────────────────────────────
"""

import os
import signal

import httpx

from tests.faults.test_watchdog import until
from tests.support import Running


def status(metrics: str, probe: str) -> int:
    return httpx.get(metrics.replace("/metrics", probe), timeout=5.0, trust_env=False).status_code


def told(address: str) -> str:
    return httpx.get(address, timeout=5.0, trust_env=False).text


def test_alive_without_kafka_and_clickhouse_but_not_ready(running: Running) -> None:
    stack = running.stack
    worker = stack.start_worker("probed", READY_SECONDS="2")
    metrics = worker.metrics
    assert until(lambda: status(metrics, "/readyz") == 200)
    # A broker that other tests share is not frozen: it has no process of this stack's.
    for part in sorted(stack.pids):
        os.kill(stack.pids[part], signal.SIGSTOP)
        try:
            assert until(lambda: status(metrics, "/readyz") == 503), part
            assert status(metrics, "/livez") == 200
        finally:
            os.kill(stack.pids[part], signal.SIGCONT)
        assert until(lambda: status(metrics, "/readyz") == 200), part
    assert status(metrics, "/livez") == 200
    assert until(lambda: 'funnel_worker_ledger_gap_offsets{topic="clicks"} 0.0' in told(metrics))
    stack.clickhouse.kill()
    assert until(lambda: status(metrics, "/readyz") == 503)
    assert told(metrics.replace("/metrics", "/readyz")) == "no answer from ClickHouse\n"
    assert status(metrics, "/livez") == 200
