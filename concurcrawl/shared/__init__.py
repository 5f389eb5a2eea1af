"""Crawls that several machines share, seen from outside."""
