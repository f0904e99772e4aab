"""What a user agent says: browser, operating system, device class, and whether it is a bot (docs/rules.md, section 5)."""

from typing import NamedTuple

import ua_parser
from crawleruseragents import is_crawler

from schemas.probe import PROBE_AGENT


class Agent(NamedTuple):
    """What a user agent says; ``bot`` is 1 or 0."""

    browser: str
    os: str
    device: str
    bot: int


UNKNOWN = Agent("", "", "unknown", 0)

_DESKTOPS = frozenset({"Windows", "Mac OS X", "Linux", "Ubuntu", "Fedora", "Chrome OS", "Chromium OS"})


def agent_of(user_agent: str) -> Agent:
    """Classify one user agent. Takes some 0.3 ms: ask once per distinct text."""
    if not user_agent:
        return UNKNOWN
    browser, system = ua_parser.parse_user_agent(user_agent), ua_parser.parse_os(user_agent)
    family = system.family if system else ""
    bot = user_agent == PROBE_AGENT or bool(is_crawler(user_agent))
    return Agent(
        browser.family if browser else "", family, "bot" if bot else _device(family, user_agent), int(bot)
    )


def _device(family: str, user_agent: str) -> str:
    if family == "iOS":
        return "tablet" if "iPad" in user_agent else "mobile"
    if family == "Android":
        return "mobile" if "Mobile" in user_agent else "tablet"
    if family == "Windows Phone":
        return "mobile"
    return "desktop" if family in _DESKTOPS else "other"
