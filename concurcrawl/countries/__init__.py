"""Parsing and file names of the demo spider: list pages, country pages."""
