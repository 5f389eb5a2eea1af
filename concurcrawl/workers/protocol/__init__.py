"""What supervisor and worker send each other, and how."""
