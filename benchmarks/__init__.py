"""Ways to get the pages of a list; see README.md."""
