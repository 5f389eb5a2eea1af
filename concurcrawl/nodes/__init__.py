"""Several supervisors that share a crawl over Redis."""
