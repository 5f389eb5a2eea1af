"""How far a crawl is, shown while it runs."""
