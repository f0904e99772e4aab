"""The collector against its own OpenAPI document, by an unmodified Schemathesis: whatever it makes up is answered as the document says."""

import json
import subprocess
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from deploy.embedded.broker import Broker
from tests.integration.collector_process import TOKEN, CollectorProcess
from tests.integration.log import create_topics
from tests.integration.third_party_python import third_party_python

EXAMPLES = 25
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "ignored_auth",
)
PARTNERS = {
    "acme": {
        "fields": {"transaction_id": "{order}", "status": "approved", "value": "{amount}", "currency": "EUR"},
        "tokens": ["a-token-of-sixteen"],
        "addresses": ["127.0.0.0/8"],
    }
}


def answers(metrics_url: str) -> dict[str, float]:
    """Answers so far, by status."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(httpx.get(metrics_url, trust_env=False).text):
        for sample in family.samples:
            if sample.name == "funnel_collector_answers_total":
                status = sample.labels["status"]
                found[status] = found.get(status, 0) + sample.value
    return found


def test_whatever_is_made_up_is_answered_as_the_document_says(tmp_path: Path) -> None:
    partners = tmp_path / "partners.json"
    partners.write_text(json.dumps(PARTNERS))
    settings = {"partners_file": str(partners), "links": {"shop": "https://shop.example/?c={campaign}"}}
    with Broker(tmp_path / "broker") as broker:
        create_topics(broker.bootstrap)
        with CollectorProcess(broker.bootstrap, tmp_path / "collector.log", **settings) as collector:
            collector.await_status("/readyz", 200)
            run = subprocess.run(
                [
                    *(third_party_python(), "-m", "schemathesis.cli", "run", f"{collector.url}/openapi.json"),
                    *("--checks", ",".join(CHECKS), "--max-examples", str(EXAMPLES), "--no-color"),
                    *("--generation-deterministic", "--max-redirects", "0"),
                    *("--header", f"Authorization: Bearer {TOKEN}", "--request-timeout", "20"),
                    *("--warnings", "off", "--suppress-health-check", "all"),
                ],
                cwd=tmp_path,
                capture_output=True,
                text=True,
                check=False,
            )
            assert run.returncode == 0, run.stdout[-8000:] + run.stderr[-2000:]
            counted = answers(collector.metrics_url)
            assert sum(counted.values()) > 500
            assert {"200", "400", "405", "415"} <= counted.keys()
            assert not [status for status in counted if status.startswith("5")]
    assert "Traceback" not in (tmp_path / "collector.log").read_text()
