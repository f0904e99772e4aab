"""What Faust is told of the topics."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from schemas.topics import TOPICS
from streams.app import create_app
from streams.pipeline import Pipeline
from streams.settings import WorkerSettings


def test_faust_keeps_no_account_of_what_was_read() -> None:
    """It would for ever: commits are not its own."""

    async def scenario() -> set[str]:
        pipeline = cast(Pipeline, SimpleNamespace(positions=None, drain=None, put=None))
        app: Any = create_app(WorkerSettings("127.0.0.1:1"), pipeline)
        app.finalize()
        [agent] = app.agents.values()
        app.topics.add(agent.channel)
        await app.topics._update_indices()
        assert set(agent.channel.topics) == set(TOPICS)
        return {topic for topic in TOPICS if app.topics.acks_enabled_for(topic)}

    assert asyncio.run(scenario()) == set()
