"""How a line is called:

journal knows      nothing    its name with the id    its name without one    the name with another id
it is called       with id    with id                 without                 refused, or where accepted with id
"""

import pytest

from streams.broker import Cluster
from streams.errors import RecreatedTopicError
from streams.sources import name_sources

CLICKS, LEADS = ("clicks", 0), ("leads", 2)
CLUSTER = Cluster("c", {"clicks": 3, "leads": 3}, {"clicks": "new", "leads": "other"})
WITHOUT_IDS = Cluster("c", {"clicks": 3, "leads": 3}, {"clicks": "", "leads": ""})
NAMES = {CLICKS: "c/new/clicks/0", LEADS: "c/other/leads/2"}


@pytest.mark.parametrize(
    "known",
    [
        set(),
        {"c/new/clicks/0"},
        # Accepted once: nobody is asked again.
        {"c/old/clicks/0", "c/new/clicks/1"},
        # Another cluster's, and another topic's.
        {"d/old/clicks/0", "d/clicks/0", "cc/clicks/0", "c/old/conversions/0"},
    ],
)
def test_a_topic_is_named_by_its_id(known: set[str]) -> None:
    assert name_sources(CLUSTER, [CLICKS, LEADS], known, accept=False) == NAMES


def test_a_journal_from_before_goes_on_under_the_names_it_knows() -> None:
    # Also a partition that was added since.
    named = name_sources(CLUSTER, [CLICKS, ("clicks", 9), LEADS], {"c/clicks/0"}, accept=False)
    assert named == {CLICKS: "c/clicks/0", ("clicks", 9): "c/clicks/9", LEADS: NAMES[LEADS]}


def test_a_broker_without_ids() -> None:
    named = name_sources(WITHOUT_IDS, [CLICKS, LEADS], {"c/clicks/0"}, accept=False)
    assert named == {CLICKS: "c/clicks/0", LEADS: "c/leads/2"}


@pytest.mark.parametrize("cluster", [CLUSTER, WITHOUT_IDS])
def test_a_recreated_topic_is_refused_unless_accepted(cluster: Cluster) -> None:
    known = {"c/old/clicks/1", "c/older/clicks/1"}
    with pytest.raises(RecreatedTopicError, match=r"clicks: .* old and older, .*FUNNEL_ACCEPT_LOG_LOSS=1"):
        name_sources(cluster, [CLICKS], known, accept=False)
    assert name_sources(cluster, [CLICKS], known)[CLICKS] in ("c/new/clicks/0", "c/clicks/0")
