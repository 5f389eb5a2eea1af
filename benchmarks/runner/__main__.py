"""``python -m benchmarks.runner``, which ``make bench`` calls."""

from __future__ import annotations

import argparse
import sys

from benchmarks.runner import command

parser = argparse.ArgumentParser(prog="benchmarks.runner")
command.configure(parser)
sys.exit(command.run(parser.parse_args()))
