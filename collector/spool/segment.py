"""One file of the spool: its name, and what a look at its bytes says."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from collector.producer import SentRecord
from collector.spool.records import Span, is_torn, spans, unframe

SUFFIX = ".spool"
_NAME = re.compile(r"(\d{12})-([0-9a-f]{8})(\.[a-z]+)", re.ASCII)


class Name(NamedTuple):
    """``number`` orders segments, ``salt`` (32 bits, random) is that of their checksums.

    The salt is in the name because a byte in a file can go bad, and with it every record of the segment would.
    """

    number: int
    salt: int

    @property
    def file(self) -> str:
        """The file's name."""
        return f"{self.number:012d}-{self.salt:08x}{SUFFIX}"


def read_name(path: Path) -> tuple[Name, bool] | None:
    """Return the name that ``path`` spells, and whether it is to be drained (not set aside); None for another file's."""
    found = _NAME.fullmatch(path.name)
    if found is None:
        return None
    return Name(int(found[1]), int(found[2], 16)), found[3] == SUFFIX


@dataclass(slots=True)
class Segment:
    """A file with ``size`` bytes that are synced. ``records`` of them are not drained yet, ``drained`` bytes are.

    ``oldest``: no record that is left has an older record time (ms UTC). ``flaw``: why the file is set aside at
    its end instead of deleted; empty if it is not.
    """

    path: Path
    name: Name
    size: int = 0
    records: int = 0
    oldest: int = 0
    drained: int = 0
    flaw: str = ""


class Kept(NamedTuple):
    """A record of a segment, and the offset behind it."""

    record: SentRecord
    end: int


class Content(NamedTuple):
    """What a segment's bytes hold: whole records, the number of damaged places, and where an unfinished write
    begins (the end of the bytes if there is none)."""

    whole: list[Span]
    damaged: int
    end: int


def kept(data: bytes, span: Span) -> Kept:
    """Return the record in a whole span of ``data``."""
    return Kept(unframe(data, span), span.end)


def parse(data: bytes, salt: int) -> Content:
    """Return what ``data`` holds."""
    whole, damaged = [], 0
    for span in spans(data, salt):
        if span.is_whole:
            whole.append(span)
        elif span.end == len(data) and is_torn(data, span.start, salt):
            return Content(whole, damaged, span.start)
        else:
            damaged += 1
    return Content(whole, damaged, len(data))
