"""The spiders that come with concurcrawl."""
