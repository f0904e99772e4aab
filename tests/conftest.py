"""What all tests share."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from deploy.embedded.broker import Broker
from deploy.embedded.existing import ExistingKafka
from tests.apache.broker import ApacheBroker
from tests.support import MakeBroker

# A machine is shared and noisy, and compiled kernels take their time at first use: no deadline per example.
settings.register_profile("funnel", deadline=None)
settings.load_profile("funnel")


@pytest.fixture(scope="session")
def apache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a real Apache Kafka answers: the one named by FUNNEL_TEST_KAFKA (host:port), otherwise one of ours for the session."""
    named = os.environ.get("FUNNEL_TEST_KAFKA", "")
    if named:
        yield named
        return
    with ApacheBroker(tmp_path_factory.mktemp("apache")) as broker:
        yield broker.bootstrap


@pytest.fixture(scope="module", params=["embedded", pytest.param("apache", marks=pytest.mark.apache)])
def make_broker(request: pytest.FixtureRequest) -> MakeBroker:
    """Makes a broker of each kind, empty, given a folder for what it writes."""
    if request.param == "embedded":
        return Broker
    bootstrap = request.getfixturevalue("apache")
    return lambda directory: ExistingKafka(bootstrap, directory / "broker.log")
