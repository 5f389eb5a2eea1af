"""Pages of the documentation, followed step by step as a reader would.

A reader saves the files that a page tells to save and types the commands of its console
blocks. A block that cannot be run here has a comment right before it that says why:
``<!-- not run: needs Docker -->``.
"""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.crawls import ROOT
from tests.support.servers.process import serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: How long one command may take on a busy machine.
PATIENCE_S = 300

_STEP = re.compile(
    r"(?P<before>[^\n]*)\n\n?"
    r"^(?P<indent> *)```(?P<kind>console|python)\n(?P<text>.*?)^ *```",
    re.MULTILINE | re.DOTALL,
)
_NOT_RUN = re.compile(r"<!-- not run: (?P<reason>\S.*) -->")
_SAVED = re.compile(r"\bSave\b.*\bas `(?P<path>[^`]+)`")
_ADDED = re.compile(r"\bline in `(?P<path>[^`]+)`")


@dataclass(frozen=True, slots=True)
class File:
    """A file that the page tells to save, or a text to add to one."""

    path: str
    text: str
    is_added: bool


@dataclass(frozen=True, slots=True)
class Block:
    """A console block.

    Attributes:
        commands: With continued lines joined.
        reason: Why it is not run, or None.
    """

    commands: tuple[str, ...]
    reason: str | None


def steps_of(page: str) -> Iterator[File | Block]:
    """Yield what a reader of *page* does, in its order."""
    for found in _STEP.finditer(page):
        before, text = found["before"], found["text"]
        if found["kind"] == "console":
            reason = _NOT_RUN.search(before)
            lines = text.replace("\\\n", " ").splitlines()
            commands = [x.strip()[2:] for x in lines if x.strip().startswith("$ ")]
            yield Block(tuple(commands), reason["reason"] if reason else None)
        elif saved := _SAVED.search(before):
            yield File(saved["path"], text, is_added=False)
        elif added := _ADDED.search(before):
            yield File(added["path"], text, is_added=True)


@dataclass
class Reader:
    """Types commands into one terminal and leaves servers running beside it.

    Attributes:
        folder: Where the terminal is.
        variables: Its environment.
        replaced: What a reader puts in the place of a text of the page.
        shortened: Options that make a command quick, by how it begins.
        beside: Commands that run in another terminal until others end them, by how they
            begin, and the file that is there when they are ready.
        files: Files that a command reads and no page tells to save.
        is_due_to_die: Whether a command that the page says was killed is killed now.
    """

    folder: Path
    variables: dict[str, str] = field(default_factory=dict)
    replaced: dict[str, str] = field(default_factory=dict)
    shortened: dict[str, str] = field(default_factory=dict)
    beside: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    is_due_to_die: Callable[[], bool] = lambda: True
    _servers: ExitStack = field(default_factory=ExitStack)

    def __post_init__(self) -> None:
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        usual = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}
        self.variables = usual | self.variables

    def follow(self, page: str) -> None:
        """Do all that *page* says."""
        with self._servers:
            for step in steps_of(page):
                if isinstance(step, File):
                    self._save(step)
                elif step.reason is None:
                    for command in step.commands:
                        self._type(command)

    def _save(self, file: File) -> None:
        path = self.folder / file.path
        if file.is_added and not path.exists():  # "settings.py of any project"
            (path,) = self.folder.glob(f"*/{file.path}")
        before = path.read_text(encoding="utf-8") if file.is_added else ""
        path.write_text(before + file.text, encoding="utf-8")

    def _type(self, command: str) -> None:
        for text, actual in self.replaced.items():
            command = command.replace(text, actual)
        begins = [begin for begin in self.shortened if command.startswith(begin)]
        if begins:
            code, hash_sign, comment = command.partition(" #")
            more = self.shortened[max(begins, key=len)]
            command = f"{code.rstrip()} {more}{hash_sign}{comment}"
        for name, text in self.files.items():
            if name in command:
                (self.folder / name).write_text(text, encoding="utf-8")
        if command.startswith("concurcrawl testsite"):
            self._serve(command)
        elif ready := [x for x in self.beside if command.startswith(x)]:
            self._leave_running(command, self.folder / self.beside[ready[0]])
        elif command.endswith("# killed"):
            self._kill(command)
        else:
            self._run(command)

    def _serve(self, command: str) -> None:
        """Leave the test site running, on a port of its own."""
        options = re.sub(r"--port \d+", "", command).split()[2:]
        free = ("--port", "0", "--until-stdin-closes")
        url = serving("concurcrawl", "testsite", *options, *free)
        self.replaced["http://localhost:8000"] = self._servers.enter_context(url)[:-1]

    def _run(self, command: str) -> None:
        """Run *command*; keep the folder and the variables that it leaves."""
        state = self.folder.parent / "state"
        script = f"{command}\ncode=$?; {{ pwd; env -0; }} > '{state}'; exit $code"
        keyboard, terminal = pty.openpty()  # some commands ask only a person
        try:
            os.write(keyboard, b"y\n")
            done = subprocess.run(
                ["bash", "-c", script],
                cwd=self.folder,
                env=self.variables,
                stdin=terminal,
                capture_output=True,
                text=True,
                timeout=PATIENCE_S,
                check=False,
            )
        finally:
            os.close(keyboard)
            os.close(terminal)
        assert done.returncode == 0, f"$ {command}\n{done.stdout}{done.stderr}"
        place, _, pairs = state.read_text(encoding="utf-8").partition("\n")
        self.folder = Path(place)
        self.variables = dict(
            pair.split("=", 1) for pair in pairs.split("\0") if "=" in pair
        )
        written = re.match(r"scrapy .* -O (\S+)", command)
        if written:
            assert (self.folder / written[1]).stat().st_size > 0, done.stderr

    def _leave_running(self, command: str, ready: Path) -> None:
        """Run *command* until a later one ends it; go on when *ready* is there."""
        process = self._start(command)
        self._servers.enter_context(_ended_by_another(process, command))
        end_s = time.monotonic() + PATIENCE_S
        while not ready.exists():
            assert process.poll() is None, f"$ {command}\nended by itself"
            assert time.monotonic() < end_s, f"$ {command}\nwas never ready"
            time.sleep(0.02)

    def _start(self, command: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            ["bash", "-c", f"exec {command}"],
            cwd=self.folder,
            env=self.variables,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _kill(self, command: str) -> None:
        """Run *command* and kill all of it once it has done something."""
        process = self._start(command)
        end_s = time.monotonic() + PATIENCE_S
        try:
            while not self.is_due_to_die():
                assert process.poll() is None, f"$ {command}\nended by itself"
                assert time.monotonic() < end_s, f"$ {command}\ndid nothing"
                time.sleep(0.02)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(PATIENCE_S)


@contextmanager
def _ended_by_another(process: subprocess.Popen[bytes], command: str) -> Iterator[None]:
    """See that *process* is ended by another command, and well."""
    try:
        yield
        assert process.wait(PATIENCE_S) == 0, f"$ {command}\nfailed"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(PATIENCE_S)
