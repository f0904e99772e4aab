"""What user agents say."""

import pytest

from streams.steps.agent import UNKNOWN, Agent, agent_of

WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36"
MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.1 Safari/605.1.15"
LINUX = "Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0"
UBUNTU = "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0"
CHROME_OS = "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.1 Mobile/15E148 Safari/604.1"
IPAD = IPHONE.replace("iPhone;", "iPad;").replace("CPU iPhone OS", "CPU OS")
PIXEL = "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Mobile Safari/537.36"
ANDROID_TABLET = PIXEL.replace("Pixel 8", "SM-X900").replace("Mobile ", "")
LUMIA = PIXEL.replace("Linux; Android 14; Pixel 8", "Windows Phone 10.0; Android 6.0.1; Microsoft; Lumia 950")
GOOGLEBOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"


@pytest.mark.parametrize(
    ("user_agent", "os", "device"),
    [
        (WINDOWS, "Windows", "desktop"),
        (MAC, "Mac OS X", "desktop"),
        (LINUX, "Linux", "desktop"),
        (UBUNTU, "Ubuntu", "desktop"),
        (CHROME_OS, "Chrome OS", "desktop"),
        (IPHONE, "iOS", "mobile"),
        (IPAD, "iOS", "tablet"),
        (PIXEL, "Android", "mobile"),
        (ANDROID_TABLET, "Android", "tablet"),
        (LUMIA, "Windows Phone", "mobile"),
        (LINUX.replace("Linux x86_64", "FreeBSD amd64"), "FreeBSD", "other"),
        ("something of our own", "", "other"),
    ],
)
def test_systems_and_device_classes(user_agent: str, os: str, device: str) -> None:
    agent = agent_of(user_agent)
    assert (agent.os, agent.device, agent.bot) == (os, device, 0)


def test_browser_is_the_family() -> None:
    assert [agent_of(text).browser for text in (WINDOWS, LINUX, IPHONE)] == [
        "Chrome",
        "Firefox",
        "Mobile Safari",
    ]


def test_bots_are_bots_whatever_they_run_on() -> None:
    assert agent_of(GOOGLEBOT)[2:] == ("bot", 1)
    assert agent_of(PIXEL + " (compatible; Googlebot/2.1)")[1:] == ("Android", "bot", 1)


def test_none_is_unknown() -> None:
    assert agent_of("") == UNKNOWN == Agent("", "", "unknown", 0)
