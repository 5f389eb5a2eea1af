"""Runs a spider in several modes and says which wins, and why."""
