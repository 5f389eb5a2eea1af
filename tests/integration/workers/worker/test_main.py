"""What workers ask of the system."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.crawls import DEADLINE_S, environment

if TYPE_CHECKING:
    from pathlib import Path

SPIDER = """
import os
from scrapy import Spider

class Asking(Spider):
    name = "asking"
    start_urls = ["data:,"]

    def parse(self, response):
        print(os.sched_getscheduler(0))
"""


@pytest.mark.once
@pytest.mark.skipif(sys.platform != "linux", reason="a policy of Linux")
@pytest.mark.parametrize(
    ("given", "kept"),
    [("SCHED_OTHER", "SCHED_BATCH"), ("SCHED_IDLE", "SCHED_IDLE")],
)
def test_a_worker_hurries_for_no_thread_unless_somebody_has_said_how(
    given: str, kept: str, tmp_path: Path
) -> None:
    (tmp_path / "spider.py").write_text(SPIDER, encoding="utf-8")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "scrapy", "runspider", "spider.py", "-L", "ERROR"),
            *("-s", 'ADDONS={"concurcrawl.Addon": 500}', "-s", "MODE=parallel"),
        ],
        capture_output=True,
        check=True,
        cwd=tmp_path,
        env=environment(),
        preexec_fn=lambda: os.sched_setscheduler(
            0, getattr(os, given), os.sched_param(0)
        ),
        text=True,
        timeout=DEADLINE_S,
    )
    assert int(done.stdout) == getattr(os, kept)
