"""``concurcrawl doctor``: check a project under each mode, without a crawl."""
