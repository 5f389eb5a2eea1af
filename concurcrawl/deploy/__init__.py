"""Jobs on Scrapyd servers: sent, started, followed, brought home."""
