"""How the synthetic probe says who it is: what a worker sees of it is a bot's, and so is in no number that leaves bots out."""

PROBE_AGENT = "funnel-probe"
"""Its user agent."""
PROBE_CAMPAIGN = "funnel-probe"
"""The campaign that its impressions name."""
