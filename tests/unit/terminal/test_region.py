"""Rows at the foot of a terminal, and what is written above them."""

from __future__ import annotations

import io

import pytest

from concurcrawl.terminal.region import Above, Clearing, Region, is_terminal
from tests.support.terminal import Screen

ROWS = ["title", "worker-1  3", "worker-2  4"]


@pytest.fixture
def screen() -> Screen:
    return Screen()


class Stream(io.StringIO):
    """Gives what is written to a screen."""

    def __init__(self, screen: Screen) -> None:
        super().__init__()
        self._screen = screen

    def write(self, text: str) -> int:
        self._screen.feed(text.replace("\n", "\r\n"))  # as a terminal's driver does
        return len(text)


@pytest.fixture
def region(screen: Screen) -> Region:
    return Region(Stream(screen))


def test_rows_are_drawn_in_their_own_place(screen: Screen, region: Region) -> None:
    region.draw(ROWS)
    region.draw([*ROWS[:2], "worker-2  5"])
    assert screen.text == "\ntitle\nworker-1  3\nworker-2  5"


def test_lines_come_above_the_rows_in_their_order(
    screen: Screen, region: Region
) -> None:
    for number in range(40):
        region.draw(ROWS)
        region.write(f"line {number}\n")
    lines = [f"line {number}" for number in range(40)]
    assert screen.text.splitlines() == [*lines, "", *ROWS]


def test_the_parts_of_a_line_stay_together(screen: Screen, region: Region) -> None:
    region.draw(ROWS)
    region.write("one ", "stdout")
    region.write("other\n", "stderr")
    region.write("line\nand ", "stdout")
    assert screen.text.splitlines() == ["other", "one line", "", *ROWS]
    region.close(["done"])
    assert screen.text.splitlines() == ["other", "one line", "and", "done"]
    assert (screen.line, screen.column) == (4, 0)


def test_a_line_that_is_wider_than_the_terminal_is_kept_whole(
    screen: Screen, region: Region
) -> None:
    region.draw(ROWS)
    region.write("x" * 200 + "\n")
    assert screen.text.splitlines() == ["x" * 80, "x" * 80, "x" * 40, "", *ROWS]


def test_rows_that_are_too_wide_are_cut_off(screen: Screen, region: Region) -> None:
    region.draw(["y" * 200, "z"])
    region.draw(["y" * 200, "z"])
    assert screen.text.splitlines() == ["", "y" * 80, "z"]


def test_more_rows_than_lines_are_cut_off(screen: Screen, region: Region) -> None:
    region.draw([str(number) for number in range(100)])
    region.draw([str(number) for number in range(100)])
    assert len(screen.rows) <= screen.lines


def test_what_is_printed_past_it_is_kept(screen: Screen, region: Region) -> None:
    region.draw(ROWS)
    stranger = Clearing(Stream(screen))
    stranger.write("hello\n")
    stranger.writelines(["you\n"])
    region.draw(ROWS)
    assert screen.text.splitlines() == ["hello", "you", "", *ROWS]


def test_a_stand_in_writes_through_until_it_is_released(
    screen: Screen, region: Region
) -> None:
    stream = Stream(screen)
    above = Above(stream, region, "stdout")
    region.draw(ROWS)
    above.writelines(["a\n"])
    assert screen.text.splitlines() == ["a", "", *ROWS]
    region.close()
    above.release()
    above.write("b\n")
    assert screen.text.splitlines() == ["a", "b"]
    assert above.isatty() is False


def test_what_has_no_isatty_is_no_terminal() -> None:
    assert not is_terminal(None)
    assert not is_terminal(object())
    assert not is_terminal(io.StringIO())
