import subprocess
import sys

from faceexp.quiet import silence


def test_what_is_written_by_python_or_past_it_is_discarded_and_the_screen_comes_back():
    program = (
        "import os, sys\nfrom faceexp.quiet import silence\n"
        "with silence():\n    print('a'); os.write(1, b'b'); os.write(2, b'c'); print('d', file=sys.stderr)\n"
        "print('heard')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("heard\n", "")


def test_an_error_gets_through(capfd):
    try:
        with silence():
            raise ValueError("loud")
    except ValueError as error:
        assert str(error) == "loud"
    print("heard")
    assert capfd.readouterr().out == "heard\n"
