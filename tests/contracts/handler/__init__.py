"""What every download handler for http and https must do, and what tests it."""
