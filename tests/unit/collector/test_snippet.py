"""GET /funnel.js as a file; what it does is seen in a browser (tests/browser)."""

import re

import pytest

from collector.snippet import SOURCE, script, without_comments
from tests.unit.collector.support import Collector

LIMIT = 4096


def test_it_is_served_as_a_script_that_caches_may_keep() -> None:
    collector = Collector()
    response = collector.get("/funnel.js")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/javascript; charset=utf-8"
    assert response.headers["cache-control"].startswith("public, max-age=3600")
    assert response.headers["x-content-type-options"] == "nosniff"
    assert int(response.headers["content-length"]) == len(response.content)
    assert "set-cookie" not in response.headers
    assert collector.sent == []


def test_it_is_small_without_being_compressed() -> None:
    assert len(Collector().get("/funnel.js").content) < LIMIT


def test_it_needs_no_more_than_the_strictest_policy_allows() -> None:
    """No code out of text, no markup, no style: nothing that a Content-Security-Policy would have to permit."""
    body = script().body.decode()
    assert not re.search(
        r"\beval\b|\bFunction\(|innerHTML|document\.write|createElement|\.style\b|setTimeout\(['\"]", body
    )


@pytest.mark.parametrize("given", ["{tag}", "W/{tag}", '"other", {tag}'])
def test_who_has_it_is_not_sent_it_again(given: str) -> None:
    collector = Collector()
    tag = collector.get("/funnel.js").headers["etag"]
    response = collector.get("/funnel.js", headers={"if-none-match": given.format(tag=tag)})
    assert (response.status_code, response.content) == (304, b"")
    assert response.headers["etag"] == tag
    assert response.headers["cache-control"].startswith("public")
    assert "content-length" not in response.headers


def test_who_has_another_one_is_sent_it() -> None:
    assert Collector().get("/funnel.js", headers={"if-none-match": '"other"'}).status_code == 200


def test_only_what_readers_need_is_left_out() -> None:
    source = "// why\n(() => {\n  // a reason\n  const url = 'https://x'; // kept\n\n    go(url);\n})();\n"
    assert without_comments(source) == "(() => {\nconst url = 'https://x'; // kept\ngo(url);\n})();\n"


def test_its_lines_can_be_left_out_one_by_one() -> None:
    """A text over several lines would lose its indentation, and a line of one could look like a comment."""
    source = SOURCE.read_text()
    assert "`" not in source and "/*" not in source and not re.search(r"\\$", source, re.MULTILINE)
