"""Plugins from PyPI, in every mode; ``make test`` runs them in a nox session.

Nothing here but ``project`` imports a plugin: those are in that session only.
"""
