"""Sets up .venv if it is missing or out of date, then runs a command in it.

    python3 bootstrap.py train [flags]    the main job in the quick profile; flags override it
    python3 bootstrap.py test [options]   lint, type check and tests (options go to pytest)

Needs nothing but Python 3.11 to 3.13.
"""

import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
QUICK = ["--flagfile=flags/quick.flags", "--arch=deconv", "--domain=1"]
EXTRAS = {"train": "", "test": "[test]"}


def venv_python() -> Path:
    """The environment's interpreter."""
    return VENV / "bin" / "python"


def ensure_environment(extras: str) -> None:
    """Makes .venv hold what setup.cfg asks for; does nothing if it already does."""
    wanted = hashlib.sha256()
    for name in ("setup.cfg", "pyproject.toml"):
        wanted.update((ROOT / name).read_bytes())
    # Stamps are written last: an interrupted installation is done again. [test] holds it all.
    stamps = {name: VENV / f".installed{name}" for name in EXTRAS.values()}
    for stamp in {stamps[extras], stamps["[test]"]}:
        if stamp.is_file() and stamp.read_text() == wanted.hexdigest():
            return
    print(f"installing into {VENV.name}/ (some minutes, about 2 GB, once) ...", flush=True)
    if not any(stamp.is_file() for stamp in stamps.values()):
        venv.create(VENV, with_pip=True, clear=True)
    pip = [str(venv_python()), "-m", "pip", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", "--editable", f".{extras}"], cwd=ROOT, check=True)
    stamps[extras].write_text(wanted.hexdigest())


def commands(name: str, arguments: list[str]) -> list[list[str]]:
    """What to run in the environment, in order."""
    if name == "train":
        return [["-m", "rectloc_tf.train", *QUICK, *arguments]]
    if arguments:
        return [["-m", "pytest", *arguments]]
    lint = [["-m", "ruff", "check", "."], ["-m", "ruff", "format", "--check"]]
    lint += [["-m", "basedpyright", "--pythonpath", str(venv_python())]]
    # Most tests wait for TensorFlow to load: two at a time, whole files each, the longest first.
    return [*lint, ["-m", "pytest", "-n", "2", "--dist", "loadfile", "--no-loadscope-reorder"]]


def main() -> int:
    """Runs the command line; returns the exit code."""
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        print(f"error: Python 3.11 to 3.13 is needed, this is {sys.version.split()[0]}")
        return 2
    if len(sys.argv) < 2 or sys.argv[1] not in EXTRAS:
        print(__doc__)
        return 2
    name, arguments = sys.argv[1], sys.argv[2:]
    try:
        ensure_environment(EXTRAS[name])
        os.chdir(ROOT)
        *before, last = commands(name, arguments)
        for command in before:
            subprocess.run([venv_python(), *command], check=True)
    except subprocess.CalledProcessError as error:
        print(f"error: {' '.join(map(str, error.cmd))} failed")
        if "ensurepip" in error.cmd:
            print("Debian and Ubuntu need the package python3-venv for it")
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted; the same command resumes it")
        return 130
    return os.execv(venv_python(), [str(venv_python()), *last])  # signals go straight to it


if __name__ == "__main__":
    sys.exit(main())
