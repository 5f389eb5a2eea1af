"""Plugins, receivers of signals and Scrapyd: what works with the add-on, and how."""
