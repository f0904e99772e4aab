"""What is read of a segment that was cut, damaged or made by somebody else: whole records as they were, or nothing."""

from itertools import accumulate
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from collector.producer import SentRecord
from collector.spool.records import frame, unframe
from collector.spool.segment import Name, parse, read_name
from tests.unit.collector.spool.support import NOW, record

RECORDS = st.lists(
    st.builds(
        SentRecord,
        st.sampled_from(["impressions", "stage.clicks", "été"]),
        st.binary(max_size=4),
        # Values that look like the format itself are among them.
        st.binary(max_size=40) | st.just(frame(record(1), 0)) | st.just(b"FSP1" * 5),
        st.integers(-(2**63), 2**63 - 1),
    ),
    min_size=1,
    max_size=6,
)
SALTS = st.integers(1, 2**32 - 1)


def read(data: bytes, salt: int) -> list[SentRecord]:
    return [unframe(data, span) for span in parse(data, salt).whole]


@given(RECORDS, SALTS)
def test_what_was_written_is_read(records: list[SentRecord], salt: int) -> None:
    data = b"".join(frame(one, salt) for one in records)
    content = parse(data, salt)
    assert read(data, salt) == records
    assert (content.damaged, content.end) == (0, len(data))


@given(RECORDS, SALTS, st.data())
def test_a_cut_anywhere_leaves_the_whole_records_before_it(
    records: list[SentRecord], salt: int, data: st.DataObject
) -> None:
    frames = [frame(one, salt) for one in records]
    ends = [0, *accumulate(map(len, frames))]
    cut = data.draw(st.integers(0, ends[-1]))
    torn = b"".join(frames)[:cut]
    content = parse(torn, salt)
    whole = sum(end <= cut for end in ends) - 1
    assert read(torn, salt) == records[:whole]
    assert (content.damaged, content.end) == (0, ends[whole])


@given(RECORDS, SALTS, st.data())
def test_a_wrong_byte_anywhere_costs_one_record_and_makes_none(
    records: list[SentRecord], salt: int, data: st.DataObject
) -> None:
    frames = [frame(one, salt) for one in records]
    whole = b"".join(frames)
    at = data.draw(st.integers(0, len(whole) - 1))
    wrong = data.draw(st.integers(1, 255))
    damaged = whole[:at] + bytes([whole[at] ^ wrong]) + whole[at + 1 :]
    hit = sum(end <= at for end in accumulate(map(len, frames)))
    assert read(damaged, salt) == records[:hit] + records[hit + 1 :]


@given(st.binary(max_size=400), SALTS)
def test_noise_is_no_record(noise: bytes, salt: int) -> None:
    assert read(noise, salt) == []


@given(RECORDS, SALTS, SALTS)
def test_records_of_another_segment_are_not_believed(
    records: list[SentRecord], salt: int, other: int
) -> None:
    data = b"".join(frame(one, other) for one in records)
    assert read(data, salt) == (records if salt == other else [])


def test_a_record_inside_a_damaged_one_is_not_believed() -> None:
    """Somebody may send as an event what would be a record: he does not know the salt."""
    inner = frame(record(1), 0)
    outer = frame(SentRecord("clicks", b"k", inner, NOW), 4711)
    assert read(b"X" + outer[1:], 4711) == []


def test_blocks_that_were_never_filled_are_an_unfinished_write() -> None:
    kept = frame(record(1), 7)
    content = parse(kept + bytes(4096), 7)
    assert (len(content.whole), content.damaged, content.end) == (1, 0, len(kept))


def test_a_last_record_that_is_all_there_but_wrong_was_not_an_unfinished_write() -> None:
    kept, wrong = frame(record(1), 7), bytearray(frame(record(2), 7))
    wrong[-1] ^= 1
    content = parse(kept + bytes(wrong), 7)
    assert (len(content.whole), content.damaged, content.end) == (1, 1, len(kept + wrong))


@given(st.integers(0, 10**12 - 1), SALTS)
def test_a_name_says_number_and_salt(number: int, salt: int) -> None:
    name = Name(number, salt)
    assert read_name(Path("x") / name.file) == (name, True)
    assert read_name((Path("x") / name.file).with_suffix(".corrupt")) == (name, False)
    assert read_name(Path("x") / "lock") is None
