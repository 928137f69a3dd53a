"""Progress lines, on a terminal and in a log."""

import io
from types import SimpleNamespace

import pytest

from rectloc_tf.training import progress
from rectloc_tf.training.progress import ProgressLine, WarningsOnly, format_seconds


class Terminal(io.StringIO):
    """A stream that says it is a terminal, and can tell what one would show."""

    def isatty(self):
        return True

    def screen(self):
        lines = []
        for written in self.getvalue().split("\n"):
            line = ""
            for part in written.split("\r"):
                line = part + line[len(part) :]
            lines.append(line.rstrip())
        return lines


@pytest.fixture
def clock(monkeypatch):
    now = SimpleNamespace(seconds=1000.0)
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: now.seconds))
    return now


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0:00"),
        (9.4, "0:09"),
        (59.6, "1:00"),
        (65, "1:05"),
        (3599.4, "59:59"),
        (3599.6, "1:00:00"),
        (3725, "1:02:05"),
        (360_000, "100:00:00"),
    ],
)
def test_format_seconds(seconds, text):
    assert format_seconds(seconds) == text


def test_terminal_shows_the_last_update_only():
    stream = Terminal()
    line = ProgressLine(stream)
    line.update("epoch 1, a long text")
    line.update("epoch 2, longer than the text before")
    line.update("short")
    assert stream.screen() == ["short"]


def test_terminal_print_replaces_the_update_and_stays():
    stream = Terminal()
    line = ProgressLine(stream)
    line.update("step 17 of 100")
    line.print("epoch 1")
    line.update("step 18")
    line.print("a line longer than any update")
    assert stream.screen() == ["epoch 1", "a line longer than any update", ""]


def test_log_gets_whole_lines_without_control_characters():
    stream = io.StringIO()
    line = ProgressLine(stream)
    line.update("step 17 of 100")
    line.print("epoch 1")
    assert stream.getvalue() == "step 17 of 100\nepoch 1\n"


def test_terminal_is_due_at_once_and_then_five_times_a_second(clock):
    line = ProgressLine(Terminal())
    assert line.due()
    line.update("x")
    assert not line.due()
    clock.seconds += 0.19
    assert not line.due()
    clock.seconds += 0.02
    assert line.due()


def test_log_is_due_every_log_seconds(clock):
    line = ProgressLine(io.StringIO(), log_seconds=10)
    assert not line.due()
    for _ in range(3):
        clock.seconds += 9.5
        assert not line.due()
        clock.seconds += 1
        assert line.due()
        line.update("x")


def test_every_text_is_flushed(monkeypatch):
    stream = io.StringIO()
    flushed = []
    monkeypatch.setattr(stream, "flush", lambda: flushed.append(stream.getvalue()))
    line = ProgressLine(stream)
    line.update("a")
    line.print("b")
    assert flushed == ["a\n", "a\nb\n"]


def test_warnings_stay_and_are_called_so():
    stream = Terminal()
    line = ProgressLine(stream)
    line.update("step 17 of 100")
    line.warn("the map is black")
    assert stream.screen() == ["warning: the map is black", ""]


def test_default_stream_is_stdout(capsys):
    ProgressLine().print("hello")
    assert capsys.readouterr().out == "hello\n"


def test_workers_beside_the_chief_print_warnings_alone():
    stream = io.StringIO()
    line = WarningsOnly(stream, log_seconds=0)
    assert not line.due()
    line.update("step 1")
    line.print("epoch 1")
    line.warn("the disk is slow")
    assert stream.getvalue() == "warning: the disk is slow\n"
