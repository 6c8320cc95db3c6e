"""Being asked to end: the same words and a code of its own, whoever asks."""

import signal
import subprocess
import sys
import textwrap

import pytest
import typer

from faceexp.cli.interrupts import EndedError, exit_code, heard, interruptible


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_asks_to_end_is_an_exception(number: signal.Signals) -> None:
    # Whoever started these tests may have switched it off.
    before = signal.signal(number, signal.SIG_DFL)
    try:
        with heard(), pytest.raises(EndedError) as raised:
            signal.raise_signal(number)
        assert exit_code(raised.value) == 128 + number
        assert signal.getsignal(number) is signal.SIG_DFL
    finally:
        signal.signal(number, before)


def test_what_was_switched_off_stays_off() -> None:
    """As with ``nohup``: a terminal that is closed does not end the program."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with heard():
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_an_interrupted_command_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    def command(value: int) -> None:
        """Wait."""
        raise KeyboardInterrupt

    wrapped = interruptible(command)
    assert wrapped.__doc__ == "Wait."
    with pytest.raises(typer.Exit) as raised:
        wrapped(value=1)
    assert raised.value.exit_code == 130
    assert capsys.readouterr().err == "interrupted\n"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_every_command_ends_with_the_code_of_its_signal(number: signal.Signals, code: int) -> None:
    """The whole program, whose command waits until it is asked to end."""
    program = textwrap.dedent("""
        import signal
        # A shell that starts a program in the background switches Ctrl-C off for it.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        from faceexp.cli import cache, main
        def wait(*arguments, **options):
            print("ready", flush=True)
            signal.pause()
        main_module = __import__("faceexp.cli.main", fromlist=["app"])
        main_module.app.registered_commands[:] = []
        main_module.app.command("wait")(main_module.interruptible(lambda: wait()))
        import sys
        sys.argv = ["faceexp", "wait"]
        main_module.main()
    """)
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (code, b"interrupted\n")
