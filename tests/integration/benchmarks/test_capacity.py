from __future__ import annotations

import json
import re
import subprocess
import sys

from benchmarks.capacity import table
from tests.support.crawls import DEADLINE_S, ROOT, environment


def test_a_supervisor_is_measured_with_workers_that_only_answer() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.capacity", "--pages", "300", "--table"],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    figures, _, printed = done.stdout.partition("\n")
    found = json.loads(figures)
    assert found["pages"] == 300
    assert found["cpu_ms_per_page"] > 0
    assert printed.count("\n") == 5


def test_the_table_in_the_docs_is_that_of_the_figure_before_it() -> None:
    text = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
    figure = re.search(r"machine: ([\d.]+) ms of CPU per page", text)
    assert figure is not None
    assert table(float(figure[1])) in text
