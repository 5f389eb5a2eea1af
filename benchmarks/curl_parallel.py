"""``curl --parallel``: one command for all pages. It can save, not parse."""

from __future__ import annotations

import subprocess

from benchmarks.common import arguments, links, name_of


def main() -> None:
    """Get all pages."""
    list_url, out, _, in_flight = arguments()
    curl = ["curl", "--silent", "--show-error", "--fail", "--compressed"]
    page = subprocess.run([*curl, list_url], stdout=subprocess.PIPE, check=True).stdout
    config = "".join(
        f'url = "{url}"\noutput = "{out / name_of(url)}"\n'
        for url in links(page, list_url)
    )
    many = ["--parallel", "--parallel-max", str(in_flight), "--config", "-"]
    subprocess.run([*curl, *many], input=config.encode(), check=True)


if __name__ == "__main__":
    main()
