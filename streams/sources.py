"""The names of sources: what the journal calls a line of a cluster.

`cluster/topic id/topic/partition`, so that a topic recreated under the same name is another source; without the id where the broker gives
none, and where the journal began before the id was part of the name: that journal goes on under the names it knows.
"""

from collections.abc import Collection, Iterable

from streams.broker import Cluster
from streams.errors import RecreatedTopicError
from streams.unit import Line, source_name


def name_sources(
    cluster: Cluster, lines: Iterable[Line], known: Collection[str], accept: bool = True
) -> dict[Line, str]:
    """Return the name of each line, given the ``known`` sources of the journal.

    Raises RecreatedTopicError, unless ``accept``, where they are of a topic that is there no more.
    """
    lines = sorted(lines)
    topics = {topic for topic, _ in lines}
    ids = {topic: _id_in_use(cluster, topic, known, accept) for topic in sorted(topics)}
    return {line: source_name(cluster.id, line, ids[line[0]]) for line in lines}


def _id_in_use(cluster: Cluster, topic: str, known: Collection[str], accept: bool) -> str:
    present = cluster.topic_ids.get(topic, "")
    ids = {_id_of(source) for source in known if _is_of(source, cluster.id, topic)}
    if present in ids or not ids:
        return present
    if "" in ids:
        return ""
    if not accept:
        raise RecreatedTopicError(topic, present, sorted(ids))
    return present


def _is_of(source: str, cluster_id: str, topic: str) -> bool:
    return source.startswith(f"{cluster_id}/") and source.split("/")[-2] == topic


def _id_of(source: str) -> str:
    """The topic id in a source's name, empty where it has none."""
    parts = source.split("/")
    return parts[-3] if len(parts) == 4 else ""
