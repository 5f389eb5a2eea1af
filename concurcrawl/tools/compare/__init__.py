"""``concurcrawl compare``: run a spider in several modes and compare the runs."""
