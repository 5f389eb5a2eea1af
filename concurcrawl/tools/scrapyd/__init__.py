"""Deploys projects to Scrapyd and follows their jobs."""
