"""What a session keeps from one statement to the next: SET and USE, and that it only reads."""

import re
from collections.abc import Mapping
from dataclasses import replace

from deploy.embedded.clickhouse.answers import Runner
from deploy.embedded.clickhouse.engine import Context
from deploy.embedded.clickhouse.errors import READONLY, ServerError
from deploy.embedded.clickhouse.registry import Running
from deploy.embedded.clickhouse.statements import first_word, only_reads, without_format

_SET_READONLY = re.compile(r"\s*SET\s+readonly\s*=\s*'?(\d)'?\s*;?\s*", re.IGNORECASE)


def remember(
    sql: str, only_here: Mapping[str, str], before: Context, running: Running, runner: Runner
) -> Context:
    """Run SET or USE; return the session's context after it. `only_here` are settings of this statement alone.

    `readonly` is kept in the context and never given to the engine, which could not be set back.
    """
    if (readonly := _SET_READONLY.fullmatch(sql)) is not None:
        return replace(before, settings={**before.settings, "readonly": readonly[1]})
    kept = {name: value for name, value in before.settings.items() if name == "readonly"}
    with runner.registry.in_engine(running):
        left = runner.lane.remember(without_format(sql), running.context)
    own = only_here.keys() - before.settings.keys()
    settings = {name: value for name, value in left.settings.items() if name not in own}
    return replace(left, settings={**settings, **kept})


def check_readonly(readonly: str, sql: str) -> None:
    """Raises ServerError for a statement that the setting `readonly` ("", 0, 1 or 2) does not allow."""
    if readonly in ("", "0") or only_reads(sql):
        return
    if readonly != "2" or first_word(sql) not in ("SET", "USE"):
        raise ServerError(READONLY, "Cannot execute query in readonly mode. (READONLY)")
