"""Run a spider in several modes, in turn, and say which one wins and by how much."""
