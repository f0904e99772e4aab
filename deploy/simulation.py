"""`funnel simulate`: simulated journeys through the collector or straight into Kafka, with a progress bar."""

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from collector.partners import load_partners
from deploy.progress import bar
from simulator.acknowledged import append_acknowledged
from simulator.generate import generate
from simulator.mess import Mess
from simulator.requests import POSTBACK_FIELDS
from simulator.send import CollectorTarget, Sent, send_to_collector, send_to_kafka


def simulate(
    values: Mapping[str, Any],
    console: Console,
    *,
    events: int,
    seed: int,
    via: str,
    mess: bool,
    url: str,
    acknowledged: Path | None,
    watch: Callable[[], None] = lambda: None,
) -> Sent:
    """Send ``events`` simulated events and say what became of them; append the acknowledged ids to ``acknowledged``.

    ``watch`` is called now and then and may raise to end it. Raises NotAcknowledged, KafkaFailed.
    """
    items = generate(seed, events, int(time.time() * 1000), Mess() if mess else Mess.none())
    started = time.monotonic()
    with bar(console) as progress:
        task = progress.add_task(
            f"sending through the {via}" if via == "collector" else "sending into Kafka", total=events
        )

        def advance(count: int) -> None:
            progress.advance(task, count)
            watch()

        if via == "kafka":
            sent = send_to_kafka(items, values["kafka"], advance)
        else:
            target = CollectorTarget(
                url or f"{'https' if values['tls_cert'] else 'http'}://{values['host']}:{values['port']}",
                token=next(iter(values["tokens"]), ""),
                link_key=next(iter(values["link_keys"]), ""),
                partner_secrets=_partner_secrets(values),
            )
            sent = asyncio.run(send_to_collector(items, target, values["kafka"], advance))
    _say(console, events, sent, time.monotonic() - started)
    if acknowledged is not None:
        append_acknowledged(acknowledged, sent.acknowledged)
    return sent


def _partner_secrets(values: Mapping[str, Any]) -> dict[str, str]:
    """The newest secrets of the partners that name things as simulated ones do."""
    partners = load_partners(Path(values["partners_file"])) if values["partners_file"] else {}
    plain = {name: f"{{{name}}}" for name in POSTBACK_FIELDS}
    return {
        name: partner.secrets[-1]
        for name, partner in partners.items()
        if partner.secrets and plain.items() <= partner.fields.items()
    }


def _say(console: Console, events: int, sent: Sent, seconds: float) -> None:
    console.print(
        f"sent {events:,} events in {seconds:.1f} s: {len(sent.acknowledged):,} ids acknowledged, {sent.direct:,} records straight into Kafka, "
        f"{sent.refusals:,} refused, {sent.retries:,} retries",
        highlight=False,
    )
    for refusal in sent.refused[:3]:
        console.print(f"  refused: {refusal}", highlight=False, markup=False)
