"""Run any Scrapy spider serial, concurrent or parallel, and compare the runs."""

from concurcrawl.addon import Addon

__all__ = ["Addon"]
