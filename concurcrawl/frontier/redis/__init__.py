"""The frontier in a Redis database, shared by several supervisors."""
