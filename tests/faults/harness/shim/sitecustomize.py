"""Python imports this before anything else: from then on the wall clock is beside the machine's, by the seconds in the file STEPPED_CLOCK."""

import os
import time
from pathlib import Path

_FILE = Path(os.environ["STEPPED_CLOCK"])
_LOOK_SECONDS = 0.1
_time, _time_ns = time.time, time.time_ns
_known = {"looked": -_LOOK_SECONDS - 1.0, "offset": 0.0}


def _offset() -> int:
    """Return the step in seconds, as it was at most _LOOK_SECONDS ago."""
    now = time.monotonic()
    if now - _known["looked"] > _LOOK_SECONDS:
        _known.update(looked=now, offset=float(_FILE.read_text()))
    return int(_known["offset"])


time.time = lambda: _time() + _offset()
time.time_ns = lambda: _time_ns() + _offset() * 1_000_000_000
