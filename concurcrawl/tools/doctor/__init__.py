"""Says how a project fares under each mode, without a crawl."""
