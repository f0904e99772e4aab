"""A clock that steps in the middle of a run: what the Python code of collector and workers takes for the time.

Not by libfaketime: with it librdkafka's waits last as long as the step, which no step of a machine's own clock makes them do. Record times and all
that is written come from Python's clock; nobody's monotonic clock steps.
"""

from pathlib import Path

SHIM = Path(__file__).with_name("shim")
VARIABLE = "STEPPED_CLOCK"


class Clock:
    """The time of the processes that are started with ``variables()``; the machine's at first."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self.step(0)

    def variables(self) -> dict[str, str]:
        """What a process's environment must hold: a folder that Python looks into first of all, and the file that says the step."""
        return {"PYTHONPATH": str(SHIM), VARIABLE: str(self._path)}

    def step(self, seconds: int) -> None:
        """Set the clocks to this many seconds beside the machine's."""
        # Replaced as a whole: a process may read it right now.
        new = self._path.with_suffix(".new")
        new.write_text(str(seconds))
        new.replace(self._path)
