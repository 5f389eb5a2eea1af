"""What commands and a crawl that is watched do with a terminal."""
