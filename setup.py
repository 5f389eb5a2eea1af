"""Builds the egg that Scrapyd runs; the package itself is built by Hatch.

``scrapyd-deploy`` and ``concurcrawl deploy`` call it. Name, version and entry points
are those of pyproject.toml.
"""

from setuptools import find_packages, setup

setup(
    packages=find_packages(include=["concurcrawl", "concurcrawl.*"]),
    # Without its tables the test site has no countries.
    package_data={
        "": ["*.css", "*.csv", "*.js", "*.toml", "py.typed"],
        "concurcrawl.frontier.redis": ["lua/*.lua"],
        "concurcrawl.monitor": ["page/*"],
    },
)
