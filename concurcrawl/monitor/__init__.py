"""A running crawl seen from outside: Prometheus metrics and a page in a browser."""
