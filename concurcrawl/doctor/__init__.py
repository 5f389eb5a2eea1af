"""The command ``doctor``: how a project fares under the modes, without a crawl."""
