"""Requests by curl, with its cookies in a file, as a browser keeps them."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest


class Answer(NamedTuple):
    """What curl showed: the status, and headers by lower-case name."""

    status: int
    headers: dict[str, str]


def required_curl() -> str:
    """Return where curl is. Without it the test fails in CI, and is skipped elsewhere."""
    curl = shutil.which("curl")
    if curl is None:
        missing = "curl is not on the PATH, and these tests send with it"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return curl


class Curl(NamedTuple):
    """A curl and its cookie jar."""

    path: str
    jar: Path

    def get(self, url: str, /, **parameters: str) -> Answer:
        """GET ``url`` with ``parameters``, following no redirect."""
        # -q: what a .curlrc says is not part of the test.
        options = ["-q", "-sS", "-i", "-G", "--max-time", "30", "--noproxy", "*"]
        cookies = ["-b", str(self.jar), "-c", str(self.jar)]
        data = [
            part for name, value in parameters.items() for part in ("--data-urlencode", f"{name}={value}")
        ]
        done = subprocess.run([self.path, *options, *cookies, *data, url], capture_output=True, check=True)
        return _answer(done.stdout)


def _answer(shown: bytes) -> Answer:
    status, *lines = shown.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    return Answer(int(status.split()[1]), {name.lower(): value.strip() for name, _, value in pairs})
