"""Tests of what a crawl with a JOBDIR keeps on the disk."""
