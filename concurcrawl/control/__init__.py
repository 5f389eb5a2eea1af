"""How a crawl that runs is fed and steered from outside."""
