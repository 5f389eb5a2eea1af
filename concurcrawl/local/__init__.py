"""Scheduler and downloader of a crawl in one process."""
