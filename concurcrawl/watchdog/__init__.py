"""Ends crawls that wait for something that never comes."""
