"""Slurm's commands, as far as submitit calls them: jobs of an array run on this machine, one after the other.

A file of this text is called like the command that it stands for. What it is asked for, and what it knows of jobs, lies
in the folder FAKE_SLURM; ``ends`` there says in which state a job is that ends without success, by its index.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

FOLDER = Path(os.environ["FAKE_SLURM"])


def sbatch(script):
    number = str(os.getpid())
    (FOLDER / f"{number}.sh").write_text(Path(script).read_text())
    refusal = FOLDER / "refusal"
    if refusal.exists():
        sys.exit(refusal.read_text())
    runner = [sys.executable, Path(sys.argv[0]).with_name("slurmd"), number]
    silent = subprocess.DEVNULL
    subprocess.Popen(runner, start_new_session=True, stdin=silent, stdout=silent, stderr=silent)
    print(f"Submitted batch job {number}")


def slurmd(number):
    script = FOLDER / f"{number}.sh"
    (FOLDER / f"{number}.pid").write_text(str(os.getpid()))
    array = re.search(r"--array=0-(\d+)", script.read_text())
    ends = json.loads((FOLDER / "ends").read_text()) if (FOLDER / "ends").exists() else {}
    for index in range(int(array[1]) + 1) if array else [None]:
        job = number if index is None else f"{number}_{index}"
        environment = {**os.environ, "SLURM_JOB_ID": number}
        if index is not None:
            environment |= {"SLURM_ARRAY_JOB_ID": number, "SLURM_ARRAY_TASK_ID": str(index)}
        (FOLDER / f"{job}.state").write_text("RUNNING")
        failed = subprocess.call(["bash", script], env=environment)
        (FOLDER / f"{job}.state").write_text(ends.get(str(index), "FAILED") if failed else "COMPLETED")


def srun(*arguments):
    options = arguments[: arguments.index(sys.executable)]
    number, index = os.environ["SLURM_JOB_ID"], os.environ.get("SLURM_ARRAY_TASK_ID", "")
    for option, stream in ("--output", 1), ("--error", 2):
        name = options[options.index(option) + 1]
        for letter, value in {"%A": number, "%a": index, "%j": number, "%t": "0"}.items():
            name = name.replace(letter, value)
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream)
    sys.exit(subprocess.call(arguments[len(options) :]))


def sacct(*arguments):
    print("JobID|State|NodeList")
    for file in FOLDER.glob("*.state"):
        print(f"{file.stem}|{file.read_text()}|node1")


def scancel(name):
    for script in FOLDER.glob("*.sh"):
        if f"--job-{name.removeprefix('--')}\n" in script.read_text():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has not begun, or has ended
                os.killpg(int(script.with_suffix(".pid").read_text()), signal.SIGTERM)


if __name__ == "__main__":
    command = Path(sys.argv[0]).name
    with (FOLDER / "asked.jsonl").open("a") as file:
        file.write(json.dumps([command, *sys.argv[1:]]) + "\n")
    globals()[command](*sys.argv[1:])
