"""Grafana as code: what its dashboards show, and the files that it is given. ``python -m deploy.grafana`` writes them."""
