"""Ends crawls and callbacks that make no progress."""
