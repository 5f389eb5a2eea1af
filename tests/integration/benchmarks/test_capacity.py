from __future__ import annotations

import json
import subprocess
import sys

from tests.support.crawls import DEADLINE_S, ROOT, environment


def test_a_supervisor_is_measured_with_workers_that_only_answer() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.capacity", "--pages", "300"],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["pages"] == 300
    assert found["cpu_ms_per_page"] > 0
