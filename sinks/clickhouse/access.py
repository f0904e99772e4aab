"""Who else may look: users, roles, quotas and row policies of a real server, as statements that may be run again.

    funnel_reader          a role: everything in the database, within the limits of a settings profile
    funnel_partner         a role: reports alone, of which no row is seen yet, within the same limits and a quota
    funnel_partner_NAME    a role: the former, and the rows of that partner

Where a table has row policies, who is named in none of them sees nothing of it, workers too: so the policy for everybody else comes first.
Grants are to the roles: a partner who drops theirs with SET ROLE NONE is left with no rights.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from sinks.clickhouse.grains import GRAINS
from sinks.clickhouse.settings import ClickHouseSettings
from sinks.clickhouse.sql import literal, literals

READER, PARTNER = "funnel_reader", "funnel_partner"
LIMITS = {
    "max_execution_time": 60,
    "max_result_rows": 1_000_000,
    "max_result_bytes": 256 << 20,
    "max_memory_usage": 1 << 30,
}
"""The most that a statement may ask for: seconds, rows, bytes."""
QUOTA = {"queries": 10_000, "execution_time": 1800}
"""What a partner's user may ask for within an hour: statements, and their seconds together."""
DIMENSIONS = ("affiliate", "offer", "campaign")
"""What tells a partner's rows: an affiliate's name, or an advertiser's offers or campaigns."""
REPORTS = (
    *("affiliates", "offers", "attribution"),
    *("attribution_minute", "attribution_hour", "attribution_day"),
)
"""The views of a partner: those whose conversions are credited. Reported ones have no affiliate or offer of their own, and would be missing."""
TABLES = tuple(rollup.table for rollup in GRAINS)
"""What these views read."""
SHARED = ("attribution_models", "attribution_versions")
"""What they read beside it, the same for everybody: which version of a model is in force."""
LEAST_PASSWORD = 12
_NAME = re.compile(r"[A-Za-z][\w.-]{0,59}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Account:
    """A user to be made. Of the password only a salted hash goes into statements.

    Raises ValueError for a name that is none or a password that can be guessed.
    """

    name: str
    password: str = field(repr=False)
    salt: str = field(repr=False)

    def __post_init__(self) -> None:
        check_name(self.name)
        if len(self.password) < LEAST_PASSWORD:
            raise ValueError(f"the password has fewer than {LEAST_PASSWORD} characters")

    @property
    def identified(self) -> str:
        """The clause by which the server knows the user."""
        digest = hashlib.sha256((self.password + self.salt).encode()).hexdigest()
        return f"IDENTIFIED WITH sha256_hash BY {literal(digest)} SALT {literal(self.salt)}"


def check_name(name: str) -> None:
    """Raise ValueError for what is no name of a user."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name: a letter, then at most 59 letters, digits, '_', '.' or '-'")
    if name.startswith("funnel_"):
        raise ValueError(f"{name!r} would be mistaken for a role: those begin with funnel_")


def reader(settings: ClickHouseSettings, account: Account) -> Iterator[str]:
    """Yield what makes, or changes, a user who may look at the whole database."""
    on = _on_cluster(settings)
    yield from _limited(READER, on)
    yield f"GRANT {on}SELECT ON `{settings.database}`.* TO `{READER}`"
    yield from _user(account, READER, on)


def partner(
    settings: ClickHouseSettings, account: Account, dimension: str, values: Sequence[str]
) -> Iterator[str]:
    """Yield what makes, or changes, a user who sees the reports' rows with one of ``values``. Raises ValueError."""
    if dimension not in DIMENSIONS or not values or not all(values):
        raise ValueError(f"a partner is told by values of {', '.join(DIMENSIONS)}")
    on, own = _on_cluster(settings), f"{PARTNER}_{account.name}"
    yield from _limited(PARTNER, on)
    for table in TABLES:
        yield (
            f"CREATE ROW POLICY OR REPLACE `funnel_others` {on}ON `{settings.database}`.`{table}` "
            f"FOR SELECT USING 1 TO ALL EXCEPT `{PARTNER}`"
        )
    for name in (*REPORTS, *TABLES, *SHARED):
        yield f"GRANT {on}SELECT ON `{settings.database}`.`{name}` TO `{PARTNER}`"
    most = ", ".join(f"{name} = {number}" for name, number in QUOTA.items())
    yield (
        f"CREATE QUOTA OR REPLACE `{PARTNER}` {on}KEYED BY user_name FOR INTERVAL 1 HOUR MAX {most} TO `{PARTNER}`"
    )
    yield f"CREATE ROLE IF NOT EXISTS `{own}` {on}".rstrip()
    yield f"GRANT {on}`{PARTNER}` TO `{own}`"
    for table in TABLES:
        yield (
            f"CREATE ROW POLICY OR REPLACE `{own}` {on}ON `{settings.database}`.`{table}` "
            f"FOR SELECT USING {dimension} IN {literals(values)} TO `{own}`"
        )
    yield from _user(account, own, on)


def remove(settings: ClickHouseSettings, name: str) -> Iterator[str]:
    """Yield what takes a reader or partner away. Raises ValueError."""
    check_name(name)
    on, own = _on_cluster(settings), f"{PARTNER}_{name}"
    yield f"DROP USER IF EXISTS `{name}` {on}".rstrip()
    for table in TABLES:
        yield f"DROP ROW POLICY IF EXISTS `{own}` {on}ON `{settings.database}`.`{table}`"
    yield f"DROP ROLE IF EXISTS `{own}` {on}".rstrip()


def _limited(role: str, on: str) -> Iterator[str]:
    """A role within limits that may be lowered and not raised. Under `readonly` 1 the limits that tools send along would be refused."""
    limits = ", ".join(f"{name} = {most} MIN 1 MAX {most}" for name, most in LIMITS.items())
    yield f"CREATE SETTINGS PROFILE IF NOT EXISTS `{READER}` {on}".rstrip()
    yield f"ALTER SETTINGS PROFILE `{READER}` {on}SETTINGS readonly = 2, {limits}"
    yield f"CREATE ROLE IF NOT EXISTS `{role}` {on}".rstrip()
    yield f"ALTER ROLE `{role}` {on}SETTINGS PROFILE {literal(READER)}"


def _user(account: Account, role: str, on: str) -> Iterator[str]:
    yield f"CREATE USER IF NOT EXISTS `{account.name}` {on}{account.identified}"
    yield f"ALTER USER `{account.name}` {on}{account.identified}"
    yield f"GRANT {on}`{role}` TO `{account.name}`"
    yield f"ALTER USER `{account.name}` {on}DEFAULT ROLE `{role}`"


def _on_cluster(settings: ClickHouseSettings) -> str:
    return f"ON CLUSTER `{settings.cluster}` " if settings.cluster else ""
