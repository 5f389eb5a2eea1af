"""Commands that feed and steer a crawl that runs."""
