"""A site of country pages to crawl offline, with faults as options."""
