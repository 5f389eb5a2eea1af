"""What a crawl with a ``JOBDIR`` keeps on the disk."""
