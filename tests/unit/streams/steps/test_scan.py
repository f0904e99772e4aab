"""The compiled look at a record: its hash and its check of UTF-8."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streams.steps.columns import words_of
from streams.steps.scan import NEVER_NULL, STRING, hash_bytes, is_utf8, scan

U64 = npt.NDArray[np.uint64]


def hashed(text: bytes, before: bytes = b"", after: bytes = b"") -> int:
    """The hash of ``text`` lying between other bytes."""
    data = np.frombuffer(before + text + after, dtype=np.uint8)
    return int(hash_bytes(words_of(data), data, np.uint64(len(before)), np.uint64(len(before) + len(text))))


def one_per_row(rows: npt.NDArray[np.uint8]) -> U64:
    """The hashes of rows of equal length."""
    flat, width = rows.reshape(-1), rows.shape[1]
    words = words_of(flat)
    starts = range(0, len(flat), width)
    return np.array(
        [hash_bytes(words, flat, np.uint64(at), np.uint64(at + width)) for at in starts], dtype=np.uint64
    )


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"", 0xC21719B225353D99),
        (b"a", 0xF7EB6797F91CD4FE),
        (b"12345678", 0xA32542D3CC9592C3),
        (b"a longer text of 32 bytes, or so", 0x95A21A20E7767E15),
    ],
)
def test_hash_never_changes(text: bytes, value: int) -> None:
    # The journal of every installation holds such values.
    assert hashed(text) == value


@given(st.binary(max_size=40), st.binary(max_size=9), st.binary(max_size=9))
def test_hash_depends_on_nothing_around(text: bytes, before: bytes, after: bytes) -> None:
    assert hashed(text, before, after) == hashed(text)


@given(st.binary(min_size=1, max_size=300), st.data())
def test_any_byte_changes_the_hash(text: bytes, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda byte: byte != text[place]))
    assert hashed(text[:place] + bytes([other]) + text[place + 1 :]) != hashed(text)


@given(st.binary(max_size=40))
def test_zeros_at_the_end_change_the_hash(text: bytes) -> None:
    assert len({hashed(text + bytes(count)) for count in range(20)}) == 20


def test_every_input_bit_moves_about_half_of_the_output_bits() -> None:
    text = np.frombuffer(np.random.default_rng(1).bytes(61), dtype=np.uint8)
    bits = np.unpackbits(text)
    flipped = np.tile(bits, (len(bits), 1)) ^ np.eye(len(bits), dtype=np.uint8)
    moved = one_per_row(np.packbits(flipped, axis=1)) ^ np.uint64(hashed(text.tobytes()))
    share = np.unpackbits(moved.view(np.uint8)).reshape(len(bits), 64).mean(axis=1)
    assert share.min() > 0.25 and share.max() < 0.75
    assert abs(share.mean() - 0.5) < 0.02


def test_a_million_contents_have_a_million_hashes() -> None:
    # As alike as real ones: a counter in constant text, as the one string of a record.
    count = 1_000_000
    text = np.frombuffer(b"\0\0campaign-12/offer-00000000/creative-1", dtype=np.uint8)
    records = np.tile(text, (count, 1))
    records[:, 1] = 2 * (len(text) - 2)
    records[:, 20:28] = np.char.zfill(np.arange(count).astype("S8"), 8).view(np.uint8).reshape(-1, 8)
    starts, data = np.arange(count) * len(text) + 1, records.reshape(-1)
    plain, content = np.zeros(count, dtype=np.bool_), np.zeros(count, dtype=np.uint64)
    kinds, nulls = np.array([STRING], dtype=np.uint8), np.array([NEVER_NULL], dtype=np.uint8)
    scan(words_of(data), data, starts, starts + len(text) - 1, kinds, nulls, 0, plain, content)
    assert plain.all()
    assert len(np.unique(content)) == count


@given(st.one_of(st.binary(max_size=24), st.text(max_size=12).map(str.encode)), st.integers(0, 12))
@example(b"\xed\xa0\x80", 0)
@example(b"\xc0\xaf", 0)
@example(b"\xe0\x80\xaf", 0)
@example(b"\xf0\x8f\xbf\xbf", 0)
@example(b"\xf4\x90\x80\x80", 0)
@example("\U0010ffff".encode(), 0)
@example("é".encode(), 1)
def test_utf8_is_what_python_takes_for_it(text: bytes, cut: int) -> None:
    text = text[: len(text) - cut] if cut < len(text) else text
    data = np.frombuffer(b"x" + text + b"\x80\x80\x80", dtype=np.uint8)
    assert is_utf8(words_of(data), data, np.uint64(1), np.uint64(1 + len(text))) == _decodes(text)


@pytest.mark.parametrize("lead", range(0xC0, 0x100))
def test_utf8_of_every_pair_of_leading_bytes(lead: int) -> None:
    for second in range(256):
        for tail in (b"", b"\x80", b"\x80\x80"):
            text = bytes((lead, second)) + tail
            data = np.frombuffer(text, dtype=np.uint8)
            assert is_utf8(words_of(data), data, np.uint64(0), np.uint64(len(text))) == _decodes(text), text


def _decodes(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
