"""A crawl whose workers a Dask cluster runs gives what it gives on one machine."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from concurcrawl.tools.testsite.certificate import self_signed
from concurcrawl.tools.testsite.process import SiteProcess
from tests.chaos.kills import EXTRAS, PAGES, expected
from tests.integration.durable.test_jobdir import of_jsonl
from tests.support.crawls import (
    DEADLINE_S,
    ROOT,
    Crawl,
    alive,
    crawl,
    crawling,
    environment,
)
from tests.support.servers.dask import adaptive_cluster, dask_servers, wait_for
from tests.support.servers.relay import free_port, relays

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.servers.dask import DaskServers


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskServers]:
    """A cluster of two workers that the tests leave as it was."""
    with dask_servers(tmp_path_factory.mktemp("dask")) as servers:
        yield servers


@pytest.fixture(scope="module")
def slow_site() -> Iterator[str]:
    """A site whose pages take a moment, so that there is time to kill."""
    with SiteProcess(pages=PAGES, latency_s=0.25) as running:
        yield running.list_url


def on(servers: DaskServers, mode: str, *more: str) -> list[str]:
    """Return the options of a crawl on a cluster."""
    where = f"CONCURCRAWL_CLUSTER={servers.file}"
    return ["-s", f"MODE={mode}", "-s", where, *more]


def whole(folder: Path, *more: str) -> list[str]:
    return [
        *("-a", f"extras={EXTRAS}", "-s", f"JOBDIR={folder / 'job'}"),
        *("-s", "CONCURRENT_REQUESTS=4", "-s", "LOG_LEVEL=DEBUG", *more),
    ]


def wait_until_scraped(running: Crawl, count: int) -> None:
    def is_so() -> bool:
        assert running.process.poll() is None, running.log
        return running.log.count("Scraped from") >= count

    wait_for(is_so, lambda: running.log)


@pytest.mark.parametrize(
    ("mode", "spider"), [("hybrid", "errors"), ("parallel", "login")]
)
def test_pages_items_and_stats_are_those_of_plain_scrapy(
    mode: str, spider: str, site: str, cluster: DaskServers, tmp_path: Path
) -> None:
    plain = crawl(spider, site, tmp_path / "plain")
    found = crawl(spider, site, tmp_path / "cluster", *on(cluster, mode))
    assert found.comparable() == plain.comparable(), found.log
    assert "[worker-1@" in found.log or spider == "login"
    assert cluster.crawlers() == []


def test_code_and_data_of_a_project_travel_and_two_crawls_share_a_cluster(
    site: str, cluster: DaskServers, tmp_path: Path
) -> None:
    project = tmp_path / "shop"
    files = {
        "scrapy.cfg": "[settings]\ndefault = shop.settings\n",
        "shop/__init__.py": "",
        "shop/settings.py": "SPIDER_MODULES = ['shop.spiders']\n"
        "ADDONS = {'concurcrawl.Addon': 500}\n",
        "shop/prices/__init__.py": "from pathlib import Path\n"
        "def price():\n"
        "    return Path(__file__).with_name('price.txt').read_text()\n",
        "shop/prices/price.txt": "12",
        "words/list.txt": "seven",
        "helper.py": "def double(text):\n    return text * 2\n",
        "shop/spiders/__init__.py": "from scrapy import Request, Spider\n"
        "import helper\n"
        "from shop.prices import price\n"
        "class Shop(Spider):\n"
        "    name = 'shop'\n"
        "    async def start(self):\n"
        "        for n in range(20):\n"
        "            yield Request(f'{self.site}/status/200?{n}')\n"
        "    def parse(self, response):\n"
        "        from shop.late import mark\n"
        "        word = open('words/list.txt').read()\n"
        "        yield {'price': helper.double(price()), 'at': mark(word)}\n",
        "shop/late.py": "def mark(word):\n    return f'late {word}'\n",
    }
    for name, text in files.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text, encoding="utf-8")
    more = ("-s", "CONCURCRAWL_CLUSTER_FILES=words/*.txt", "-s", "PIPELINE_FILE=none")
    with ExitStack() as stack:
        crawls = [
            stack.enter_context(
                crawling(
                    "shop",
                    site,
                    tmp_path / str(number),
                    *on(cluster, "hybrid", *more),
                    project=project,
                )
            )
            for number in range(2)
        ]
        for running in crawls:
            found = running.finish()
            item = json.dumps({"price": "1212", "at": "late seven"})
            assert found.items == {item: 20}, found.log


def test_deaths_of_crawlers_and_machines_lose_nothing(
    slow_site: str, tmp_path: Path
) -> None:
    (tmp_path / "dask").mkdir()
    with dask_servers(tmp_path / "dask", options=("--nanny",)) as servers:
        options = on(servers, "hybrid", *whole(tmp_path))
        with crawling("whole", slow_site, tmp_path, *options) as running:
            wait_until_scraped(running, 6)
            servers.crawlers()[0].kill()
            wait_until_scraped(running, 20)
            before = servers.crawlers()
            workers = servers.workers()
            workers[0].kill()  # its nanny starts another one
            wait_until_scraped(running, 40)
            nanny = servers.commands[1]
            nanny.kill()
            nanny.wait(DEADLINE_S)
            for process in servers.workers():
                if process.ppid() == nanny.pid or process.ppid() == 1:
                    process.kill()
            servers.start_worker("--no-nanny")
            found = running.finish()
        assert found.exit_code == 0, found.log
        assert of_jsonl(tmp_path / "items.jsonl") == expected(), found.log
        assert alive(before) == []
        wait_for(lambda: not servers.crawlers(), lambda: found.log)


def test_a_crawl_whose_supervisor_was_killed_goes_on_with_and_without_a_cluster(
    slow_site: str, cluster: DaskServers, tmp_path: Path
) -> None:
    crawlers = []
    for count in (3, 30):
        options = on(cluster, "parallel", *whole(tmp_path))
        with crawling("whole", slow_site, tmp_path, *options) as running:
            wait_until_scraped(running, count)
            crawlers += cluster.crawlers()
            running.send(signal.SIGKILL)
            running.process.wait(DEADLINE_S)
    assert crawlers
    assert alive(crawlers) == []
    options = ["-s", "MODE=hybrid", *whole(tmp_path)]
    found = crawl("whole", slow_site, tmp_path, *options)
    assert (found.exit_code, found.stats["finish_reason"]) == (0, "finished"), found.log
    assert of_jsonl(tmp_path / "items.jsonl") == expected()


def test_a_machine_that_hangs_is_lost_and_what_it_brings_later_is_refused(
    slow_site: str, tmp_path: Path
) -> None:
    (tmp_path / "dask").mkdir()
    with dask_servers(tmp_path / "dask") as servers:
        options = on(servers, "hybrid", *whole(tmp_path))
        options += ["-s", "CONCURCRAWL_CLUSTER_TIMEOUT_S=3"]
        with crawling("whole", slow_site, tmp_path, *options) as running:
            wait_until_scraped(running, 8)
            crawler = servers.crawlers()[0]
            machine = [crawler, *crawler.parents()[:1]]
            for process in machine:
                process.suspend()
            wait_for(lambda: "counts as lost" in running.log, lambda: running.log)
            for process in machine:
                process.resume()
            found = running.finish()
        assert found.exit_code == 0, found.log
        assert of_jsonl(tmp_path / "items.jsonl") == expected(), found.log
        assert alive([crawler]) == []


def test_a_machine_that_is_cut_off_is_lost_and_used_again_when_it_is_back(
    slow_site: str, tmp_path: Path
) -> None:
    (tmp_path / "dask").mkdir()
    port = free_port()
    with relays() as network, dask_servers(tmp_path / "dask", 0) as servers:
        wait_for(servers.file.exists, servers.log)
        servers.start_worker_behind(network, port)
        options = on(servers, "hybrid", *whole(tmp_path))
        options += ["-s", "CONCURCRAWL_CLUSTER_TIMEOUT_S=2"]
        options += ["-s", f"CONCURCRAWL_CLUSTER_LISTEN=127.0.0.1:{port}"]
        with crawling("whole", slow_site, tmp_path, *options) as running:
            wait_until_scraped(running, 8)
            before = servers.crawlers()
            network.cut()
            wait_for(lambda: "counts as lost" in running.log, lambda: running.log)
            assert alive(before) == []  # its agent hears nothing either
            network.mend()  # what it had sent meanwhile comes now
            found = running.finish()
        assert found.exit_code == 0, found.log
        assert "done again" in found.log
        assert of_jsonl(tmp_path / "items.jsonl") == expected(), found.log
        wait_for(lambda: not servers.crawlers(), lambda: found.log)


def test_a_machine_that_joins_is_used_and_one_that_retires_loses_nothing(
    slow_site: str, tmp_path: Path
) -> None:
    (tmp_path / "dask").mkdir()
    with dask_servers(tmp_path / "dask", 1) as servers:
        options = on(servers, "hybrid", *whole(tmp_path))
        with crawling("whole", slow_site, tmp_path, *options) as running:
            wait_until_scraped(running, 8)
            (crawler,) = servers.crawlers()
            crawler.suspend()  # else all might be done before the other one is there
            servers.start_worker("--no-nanny")
            wait_for(lambda: "worker-2@" in running.log, lambda: running.log)
            servers.commands[0].send_signal(signal.SIGTERM)
            wait_for(lambda: "finishes what it" in running.log, lambda: running.log)
            crawler.resume()
            found = running.finish()
        assert "finishes what it holds" in found.log
        assert "done again" not in found.log
        assert of_jsonl(tmp_path / "items.jsonl") == expected(), found.log


def test_an_adaptive_cluster_grows_for_a_crawl_and_shrinks_after_it(
    slow_site: str, tmp_path: Path
) -> None:
    (tmp_path / "dask").mkdir()
    with adaptive_cluster(tmp_path / "dask") as dask:
        options = ["-s", "MODE=hybrid", "-s", f"CONCURCRAWL_CLUSTER={dask.address}"]
        options += [*whole(tmp_path), "-s", "CONCURCRAWL_WORKERS=3"]
        with crawling("whole", slow_site, tmp_path, *options) as running:
            wait_for(lambda: "worker-3@" in running.log, lambda: running.log)
            wait_until_scraped(running, 30)
            assert dask.count() == 2  # of two threads each; it could have three
            found = running.finish()
        assert found.exit_code == 0, found.log
        assert "done again" not in found.log
        assert of_jsonl(tmp_path / "items.jsonl") == expected(), found.log
        wait_for(lambda: dask.count() == 0, lambda: found.log)


def test_ctrl_c_ends_a_crawl_in_peace(
    slow_site: str, cluster: DaskServers, tmp_path: Path
) -> None:
    options = on(cluster, "hybrid", "-s", "LOG_LEVEL=DEBUG")
    with crawling("whole", slow_site, tmp_path, *options) as running:
        wait_until_scraped(running, 12)
        running.send(signal.SIGINT)
        found = running.finish()
    assert (found.exit_code, found.stats["finish_reason"]) == (0, "shutdown"), found.log
    assert "ERROR" not in found.log
    assert cluster.crawlers() == []


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            (
                "CONCURCRAWL_CLUSTER=tcp://127.0.0.1:9",
                "CONCURCRAWL_CLUSTER_WAIT_S=1",
            ),
            "no Dask scheduler answers at tcp://127.0.0.1:9 within 1 s",
        ),
        (("CONCURCRAWL_CLUSTER=127.0.0.1:8786",), "must be tcp://host:port or tls://"),
        (
            ("CONCURCRAWL_CLUSTER=local", "CONCURCRAWL_CLUSTER_LISTEN=7000"),
            "CONCURCRAWL_CLUSTER_LISTEN='7000': must be host:port",
        ),
        (
            ("CONCURCRAWL_CLUSTER=local", "CONCURCRAWL_CLUSTER_FILES=none/*.csv"),
            "CONCURCRAWL_CLUSTER_FILES='none/*.csv': must be files in",
        ),
    ],
)
def test_a_cluster_that_cannot_be_used_is_one_sentence(
    options: tuple[str, ...], sentence: str, tmp_path: Path
) -> None:
    settings = [word for option in options for word in ("-s", option)]
    found = crawl("pagination", "", tmp_path, "-s", "MODE=parallel", *settings)
    assert found.exit_code == 1
    assert sentence in found.log
    assert "Traceback" not in found.log


def test_with_tls_the_workers_connections_have_it_too(
    site: str, tmp_path: Path
) -> None:
    pem = tmp_path / "all.pem"
    pem.write_bytes(b"".join(self_signed([])))
    prefix = "DASK_DISTRIBUTED__COMM__"
    variables = {f"{prefix}TLS__CA_FILE": str(pem), f"{prefix}REQUIRE_ENCRYPTION": "1"}
    for role in ("SCHEDULER", "WORKER", "CLIENT"):
        variables[f"{prefix}TLS__{role}__CERT"] = str(pem)
        variables[f"{prefix}TLS__{role}__KEY"] = str(pem)
    (tmp_path / "dask").mkdir()
    with dask_servers(tmp_path / "dask", 1, variables=variables) as servers:
        assert servers.address.startswith("tls://")
        options = on(servers, "hybrid", "-s", "CONCURCRAWL_CLUSTER_TIMEOUT_S=8")
        with crawling(
            "parted", site, tmp_path, *options, variables=variables
        ) as running:
            found = running.finish()
    plain = crawl("parted", site, tmp_path / "plain")
    assert found.comparable() == plain.comparable(), found.log


LONE = """
import sys
import beside
from scrapy import Request, Spider
from scrapy.crawler import CrawlerProcess

class Lone(Spider):
    name = "lone"
    custom_settings = {"ADDONS": {"concurcrawl.Addon": 500}}

    async def start(self):
        for n in range(20):
            yield Request(f"{self.site}/status/200?{n}")

    def parse(self, response):
        yield {"kind": beside.kind()}

if __name__ == "__main__":
    names = ("MODE", "CONCURCRAWL_CLUSTER", "CONCURCRAWL_WORKERS")
    settings = dict(zip(names, sys.argv[2:]), FEEDS={"items.jsonl": {"format": "jl"}})
    process = CrawlerProcess(settings | Lone.custom_settings)
    process.crawl(Lone, site=sys.argv[1])
    process.start()
"""


def run_lone(folder: Path, *command: str) -> None:
    """Run a spider that is in no project, with a module beside it."""
    (folder / "beside.py").write_text("def kind():\n    return 'lone'\n", "utf-8")
    (folder / "lone.py").write_text(LONE, "utf-8")
    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env={**environment(), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    items = (folder / "items.jsonl").read_text(encoding="utf-8").splitlines()
    assert items == ['{"kind": "lone"}'] * 20, done.stderr
    assert "ERROR" not in done.stderr
    assert "[distributed" not in done.stderr


def test_a_file_and_its_neighbour_run_on_a_cluster(
    site: str, cluster: DaskServers, tmp_path: Path
) -> None:
    options = on(cluster, "hybrid", "-a", f"site={site}", "-O", "items.jsonl")
    run_lone(tmp_path, "-m", "scrapy", "runspider", "lone.py", *options)


def test_a_script_runs_on_a_cluster_of_this_machine(site: str, tmp_path: Path) -> None:
    run_lone(tmp_path, "lone.py", site, "parallel", "local", "2")


def test_a_mode_without_workers_refuses_a_cluster(tmp_path: Path) -> None:
    options = ("-s", "MODE=async", "-s", "CONCURCRAWL_CLUSTER=local")
    found = crawl("pagination", "", tmp_path, *options)
    assert found.exit_code == 1
    assert "must be empty with MODE=async without a JOBDIR" in found.log
