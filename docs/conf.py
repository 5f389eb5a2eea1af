"""Configuration of the documentation site, which ``make docs`` builds."""

from __future__ import annotations

import tomllib
from pathlib import Path

_ROOT = Path(__file__).parent.parent

project = "concurcrawl"
# Read from the source, so that a build needs nothing of the package installed.
_PYPROJECT = tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))
release = _PYPROJECT["project"]["version"]

extensions = ["myst_parser", "sphinx_copybutton"]
myst_heading_anchors = 3  # links to headings work here as they do on GitHub
copybutton_prompt_text = "$ "
copybutton_only_copy_prompt_lines = True

html_theme = "furo"
html_title = f"concurcrawl {release}"
html_show_copyright = False
html_show_sphinx = False
html_static_path = ["_static"]
html_css_files = ["wide.css"]
