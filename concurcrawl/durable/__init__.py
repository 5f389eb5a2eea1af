"""What makes a crawl with a ``JOBDIR`` lose nothing."""
