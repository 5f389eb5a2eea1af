"""Ways to show a comparison; each one is a stranger to the others."""
