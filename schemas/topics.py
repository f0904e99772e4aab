"""The co-partitioned topics and what each carries."""

IMPRESSIONS = "impressions"
CLICKS = "clicks"
LEADS = "leads"
CONVERSIONS = "conversions"
CREDIT_REQUESTS = "credit-requests"
POSTBACKS = "postbacks"
LINKS = "links"

TOUCH_TOPICS = (IMPRESSIONS, CLICKS, LEADS)
EVENT_TOPICS = (*TOUCH_TOPICS, CONVERSIONS)
TOPICS = (*EVENT_TOPICS, CREDIT_REQUESTS, POSTBACKS, LINKS)
IDENTIFIED_TOPICS = (*TOUCH_TOPICS, POSTBACKS, LINKS)
"""Topics whose records are told apart by their event_id, within the window of deduplication."""

KIND_OF_TOPIC = {
    IMPRESSIONS: "impression",
    CLICKS: "click",
    LEADS: "lead",
    CONVERSIONS: "conversion",
    CREDIT_REQUESTS: "credit-request",
    POSTBACKS: "postback",
    LINKS: "link",
}
TOPIC_OF_KIND = {kind: topic for topic, kind in KIND_OF_TOPIC.items()}
