"""What exists for speed alone. Each module states what it was measured to gain."""
