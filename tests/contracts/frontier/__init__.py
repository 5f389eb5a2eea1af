"""What every Frontier must do, and what tests it."""
