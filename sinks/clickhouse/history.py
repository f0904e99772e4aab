"""What the journal remembers: the hot window a worker restores, and the cold rest that it looks up by key.

Rows are chosen by the partition number that their route has among ``partitions``, not by source, so that restoring also works when
partitions were added or the cluster was replaced. Times are ms; a frame has the journal's column names, ``_partition``, and halves
(``event_hi``, ``event_lo``) for UUIDs.
"""

from collections.abc import Iterator, Mapping, Sequence

import polars as pl

from schemas.ids import transaction_route
from sinks.clickhouse.client import Connection
from sinks.clickhouse.journal import TABLE
from sinks.clickhouse.read import Made
from sinks.clickhouse.sql import literal, literals

TransactionKey = tuple[str, str]
Floors = Mapping[int, int]
"""Per partition number a record time in ms; never empty."""

_HOUR = 3_600_000
_RECORDS = ("impression", "click", "lead", "conversion", "request", "postback", "link")


def _hash(column: str) -> str:
    """What `streams.state.hashing` makes of a text: a hash takes both sides less time than the text that only it is wanted of."""
    return f"greatest(xxHash64({column}), 1) * notEmpty({column})"


_IDS = ", ".join(f"{_hash(f'j.{name}')} AS {name}" for name in ("visitor_id", "click_id", "lead_id"))
_OF_TOUCHES = "campaign, affiliate, offer, channel, country, device, bot"
_TOUCH = (
    f"toLowCardinality(toString(j.kind)) AS kind, route, _record_time, event_id, occurred_at, {_IDS}, {_OF_TOUCHES}, "
    "toUInt64(0) AS origin"
)
_SENT_ON = (
    "toLowCardinality(toString(touch_kind)) AS kind, route, _record_time, touch_id AS event_id, occurred_at, "
    f"{_hash('j.visitor_id')} AS visitor_id, toUInt64(0) AS click_id, toUInt64(0) AS lead_id, {_OF_TOUCHES}, "
    f"{_hash('j.origin')} AS origin"
)
_ALIAS = "toLowCardinality(toString(touch_kind)) AS kind, route, identity_key, visitor_id, occurred_at, _record_time, touch_id AS event_id"
_CONVERSION = (
    "route, _record_time, partner, transaction_id, content, event_id, judged, status_at, status, occurred_at, value, payout, currency, click_id, "
    "lead_id, visitor_id, goal, campaign, affiliate, offer, channel, country, device, bot"
)
_REQUEST = (
    "_source, _offset, _record_time, route, revision, moved, event_id, partner, transaction_id, occurred_at, status, value, payout, "
    f"currency, goal, campaign, affiliate, offer, {_IDS}, person, origin, step"
)
_KEY = ("partner", "transaction_id", "route", "person")
_NAMED = ("click_id", "lead_id", "visitor_id")
_CREDIT = (
    "partner, transaction_id, route, person, model, model_version, weight, value, payout, touch_id, touch_at, touch_kind, campaign, "
    "affiliate, offer, channel, country, device, bot, status, occurred_at, currency, goal"
)
_LARGE = {"max_query_size": 1 << 26, "max_ast_elements": 1_000_000, "max_expanded_ast_elements": 10_000_000}
# Each block takes a while per column, however few rows it has; and grouping in two levels answers in some hundred blocks.
_LARGE_BLOCKS = {"max_block_size": 1 << 20, "preferred_block_size_bytes": 0}
_ONE_LEVEL = {"group_by_two_level_threshold": 0, "group_by_two_level_threshold_bytes": 0}
# Of results that are used a block at a time, while the next one is made.
_BLOCKS = {"max_block_size": 1 << 17, "preferred_block_size_bytes": 0}


class History:
    """Questions to the journal by one connection, for one thread. Every method raises what `Connection` raises."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def newest(self, numbers: Sequence[int], partitions: int) -> dict[tuple[str, int], int]:
        """Return the newest record time journaled per kind and partition number; where there is nothing, it is missing."""
        found: dict[tuple[str, int], int] = {}
        last = "(SELECT max(_ingested_at) FROM journal)"
        kinds = list(_RECORDS)
        # What was ingested last is newest, so a whole journal need not be read; the last look is at all of the kinds that lack a partition.
        for window in (_HOUR, 24 * _HOUR, 0):
            recent = f" AND _ingested_at > {last} - INTERVAL {window} MILLISECOND" if window else ""
            rows = self._connection.query(
                f"SELECT toString(kind), {_number(partitions)} AS number, toUnixTimestamp64Milli(max(_record_time)) FROM {TABLE} "
                f"WHERE kind IN {literals(kinds)} AND {_ours(numbers, partitions)}{recent} GROUP BY 1, 2"
            )
            found = {(str(kind), int(number)): int(time) for kind, number, time in rows} | found
            kinds = [kind for kind in kinds if any((kind, number) not in found for number in numbers)]
            if not kinds:
                break
        return found

    def holds_older(self, floors: Floors, partitions: int) -> bool:
        """Return whether anything journaled for the partitions has a record time up to its floor."""
        older = f"_record_time <= {_time(max(floors.values()))} AND {_ours(list(floors), partitions)} AND NOT ({_after(floors, partitions)})"
        return bool(
            self._connection.query(
                f"SELECT 1 FROM {TABLE} WHERE kind IN {literals(_RECORDS)} AND {older} LIMIT 1"
            )
        )

    def rows(self, floors: Floors) -> dict[str, int]:
        """Return how many rows of each kind the journal has after the lowest floor, of all partitions; of links, those that bring touches."""
        recent = f"_record_time > {_time(min(floors.values()))} AND (kind != 'link' OR purpose = 'touch')"
        rows = self._connection.query(
            f"SELECT toString(kind), count() FROM {TABLE} WHERE kind IN {literals(_RECORDS)} AND {recent} GROUP BY 1"
        )
        return {str(kind): int(count) for kind, count in rows}

    def ids(self, kind: str, floors: Floors, partitions: int) -> Iterator[pl.DataFrame]:
        """Yield event halves, content, record time and partition of each row of ``kind`` after the floors, in no order."""
        where = f"j.kind = {literal(kind)} AND {_after(floors, partitions)}"
        return self._frames("event_id, content, _record_time", partitions, where)

    def touches(
        self, floors: Floors, partitions: int, impressions: bool = False, made: Made | None = None
    ) -> Iterator[pl.DataFrame]:
        """Yield clicks and leads after the floors, with ``impressions`` these too, in no order. Ids and ``origin`` come as hashes.

        ``made``: as for `read_block`.
        """
        kinds = literals(("impression", "click", "lead")[not impressions :])
        after = _after(floors, partitions)
        yield from self._frames(_TOUCH, partitions, f"j.kind IN {kinds} AND {after}", made)
        moved = f"j.kind = 'link' AND purpose = 'touch' AND touch_kind IN {kinds} AND {after}"
        yield from self._frames(_SENT_ON, partitions, moved, made)

    def links(self, numbers: Sequence[int], partitions: int) -> pl.DataFrame:
        """Return who belongs to whom on the partitions: pairs (``visitor_id``, ``winner``) in the order in which they were taken, then whose touches
        went where (``visitor_id``, ``origin``)."""
        where = f"j.kind = 'link' AND {_ours(numbers, partitions)}"
        pairs = self._frame(
            "route, visitor_id, winner, origin",
            partitions,
            f"{where} AND purpose = 'pair' ORDER BY _ingested_at, _source, _offset",
        )
        touches = f"{where} AND purpose = 'touch' GROUP BY route, visitor_id, winner, origin"
        return pl.concat((pairs, self._frame("route, visitor_id, winner, origin", partitions, touches)))

    def claims_on(self, routes: Sequence[str], partitions: int) -> pl.DataFrame:
        """Return all claims of identity keys (``identity_key``, ``visitor_id``) on ``routes``, in the order in which they were taken."""
        where = f"{_at(('link',), routes)} AND purpose = 'claim' ORDER BY _ingested_at, _source, _offset"
        return self._frame("identity_key, visitor_id", partitions, where)

    def aliases(self, floors: Floors, partitions: int) -> Iterator[pl.DataFrame]:
        """Yield ids that lead to a visitor of another route (``identity_key``, ``kind``: click or lead, ``visitor_id``) after the floors, with the
        id and time of the touch, in no order."""
        return self._frames(
            _ALIAS, partitions, f"j.kind = 'link' AND purpose = 'alias' AND {_after(floors, partitions)}"
        )

    def cold_aliases_on(self, routes: Sequence[str], partitions: int, limit: int) -> pl.DataFrame:
        """Return what `aliases` yields, of ``routes``: of each visitor the earliest touch, of each id ``limit`` + 1 visitors at most."""
        first = "(j.occurred_at, toString(j.touch_id))"
        columns = (
            "toLowCardinality(toString(touch_kind)) AS kind, route, identity_key, visitor_id, min(j.occurred_at) AS occurred_at, "
            f"max(j._record_time) AS _record_time, argMin(j.touch_id, {first}) AS event_id"
        )
        ours = f"{_at(('link',), routes)} AND purpose = 'alias'"
        each = f"GROUP BY route, touch_kind, identity_key, visitor_id LIMIT {limit + 1} BY touch_kind, identity_key"
        return self._frame(columns, partitions, f"{ours} {each}")

    def requests(
        self, floors: Floors, partitions: int, made: Made | None = None
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Return the newest requests, one of each origin, of each transaction and route that has one after its partition's floor, and the credits in
        force for them.

        ``made``: as for `read_block`, of the credits. Ids come as hashes. ``former``: a list of those that it and those before it named; null
        where there was none before it.
        """
        ours = _ours(list(floors), partitions)
        recent = f"SELECT partner, transaction_id, route FROM {TABLE} WHERE kind = 'request' AND {_after(floors, partitions)}"
        return self._requests(partitions, f"{ours} AND (partner, transaction_id, route) IN ({recent})", made)

    def cold_transactions(self, keys: Sequence[TransactionKey], partitions: int) -> pl.DataFrame:
        """Return all conversions of the transactions ``keys``."""
        routes = [transaction_route(*key) for key in keys]
        where = f"{_at(('conversion',), routes)} AND (partner, transaction_id) IN {_tuples(keys)}"
        return self._frame(_CONVERSION, partitions, where)

    def cold_requests_on(self, routes: Sequence[str], partitions: int) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Return the newest requests on ``routes``, one of each origin, and the credits in force for them: a late touch concerns some of them."""
        return self._requests(partitions, _at(("request", "credit"), routes))

    def cold_touches_on(
        self, routes: Sequence[str], partitions: int, kinds: Sequence[str] = ("click", "lead")
    ) -> pl.DataFrame:
        """Return every touch of ``kinds`` on ``routes``, as `touches` does."""
        moved = f"{_at(('link',), routes)} AND purpose = 'touch' AND touch_kind IN {literals(kinds)}"
        return pl.concat(
            (self._frame(_TOUCH, partitions, _at(kinds, routes)), self._frame(_SENT_ON, partitions, moved))
        )

    def _requests(
        self, partitions: int, where: str, made: Made | None = None
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        # Chosen here: ClickHouse takes three times as long for it.
        requests = self._frame(_REQUEST, partitions, f"kind = 'request' AND {where}")
        issued = self._frame(f"{_CREDIT}, sign", partitions, f"kind = 'credit' AND {where}", made)
        return standing(requests), in_force(issued)

    def _frame(self, columns: str, partitions: int, where: str, made: Made | None = None) -> pl.DataFrame:
        settings = _LARGE | _ONE_LEVEL | _LARGE_BLOCKS
        return self._connection.query_frame(_select(columns, partitions, where), settings=settings, made=made)

    def _frames(
        self, columns: str, partitions: int, where: str, made: Made | None = None
    ) -> Iterator[pl.DataFrame]:
        return self._connection.query_frames(_select(columns, partitions, where), _LARGE | _BLOCKS, made)


def standing(requests: pl.DataFrame) -> pl.DataFrame:
    """Return of requests the newest of each key (`_KEY`) and origin, with ``former`` (`History.requests`)."""
    again = requests.filter(pl.len().over(_KEY) > 1)
    ids = pl.concat_list(_NAMED).explode(empty_as_null=False, keep_nulls=False)
    former = again.group_by(_KEY).agg(ids.unique().alias("former"))
    newest = requests.sort("revision", "step", "moved", descending=True)
    newest = newest.unique([*_KEY, "origin"], keep="first", maintain_order=True)
    return newest.join(former, on=_KEY, how="left", maintain_order="left")


def in_force(credits: pl.DataFrame) -> pl.DataFrame:
    """Return those of the credits, issued and taken back (``sign``), that are in force."""
    changed = credits.filter(pl.col("sign") < 0).select(_KEY).unique()
    kept = credits.join(changed, on=_KEY, how="anti").drop("sign")
    names = kept.columns
    left = credits.join(changed, on=_KEY, how="semi").group_by(names).agg(pl.col("sign").sum())
    return pl.concat((kept, left.filter(pl.col("sign") > 0).select(names)))


def _select(columns: str, partitions: int, where: str) -> str:
    return f"SELECT {columns}, toUInt16({_number(partitions)}) AS _partition FROM {TABLE} AS j WHERE {where}"


def _number(partitions: int) -> str:
    """The partition number of a row's route. ClickHouse's function is Kafka's murmur2 without its sign already."""
    return f"bitAnd(kafkaMurmurHash(route), 2147483647) % {partitions}"


def _ours(numbers: Sequence[int], partitions: int) -> str:
    if set(numbers) >= set(range(partitions)):
        return "1"
    return f"{_number(partitions)} IN ({', '.join(map(str, numbers))})"


def _after(floors: Floors, partitions: int) -> str:
    """The rows of the partitions in ``floors`` that are newer than their partition's."""
    after = f"_record_time > {_time(min(floors.values()))} AND {_ours(list(floors), partitions)}"
    if len(set(floors.values())) == 1:
        return after
    floor = f"transform({_number(partitions)}, {list(floors)}, {list(floors.values())}, 0)"
    return f"{after} AND toUnixTimestamp64Milli(_record_time) > {floor}"


def _at(kinds: Sequence[str], routes: Sequence[str]) -> str:
    """The rows of ``kinds`` on ``routes``: the projection by route says where they are, the table's order then finds them."""
    on = f"j.kind IN {literals(kinds)} AND route IN {_set(sorted(set(routes)))}"
    places = f"SELECT kind, _source, _offset FROM {TABLE} AS j WHERE {on}"
    return f"{on} AND (j.kind, _source, _offset) IN ({places})"


def _set(texts: Sequence[str]) -> str:
    """Texts for IN; of none, a text that nothing equals."""
    return literals(texts) if texts else "('\\0')"


def _tuples(keys: Sequence[tuple[str, ...]]) -> str:
    return f"({', '.join(literals(key) for key in keys)})" if keys else "(('\\0', '\\0'))"


def _time(milliseconds: int) -> str:
    return f"fromUnixTimestamp64Milli({milliseconds}, 'UTC')"
