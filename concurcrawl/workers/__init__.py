"""Crawler processes: the supervisor's side, the workers' side, and what they say."""
