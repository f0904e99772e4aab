"""Names of query parameters that we know."""

from functools import cache

from collector.links import CLICK_PARAMETER, LEAD_PARAMETER
from schemas.reference import channel_lists

UTM = ("utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content")
DIMENSIONS = frozenset(
    ("campaign", "affiliate", "offer", "creative", *UTM, "sub1", "sub2", "sub3", "sub4", "sub5")
)


@cache
def ad_click_ids() -> tuple[str, ...]:
    """Return the parameters that hold an advertising system's click id, those of search first."""
    lists = channel_lists()
    return tuple(
        name for kind in ("search", "social", "display") for name in sorted(lists[f"{kind}_click_ids"])
    )


def own_parameters() -> frozenset[str]:
    """Return the query parameters whose meaning we know: a recorded URL keeps them."""
    return frozenset((*DIMENSIONS, *ad_click_ids(), CLICK_PARAMETER, LEAD_PARAMETER))
