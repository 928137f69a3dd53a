"""The wheel: built, put elsewhere, and used from there."""

import os
import subprocess
import sys
import zipfile

import pytest

from tests.conftest import HANGS, ROOT, run_cold, succeeded

PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from a copy, so that nothing is left in the checkout."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    names = ["rectloc_tf", "pipelines", "setup.cfg", "pyproject.toml", "README.md", "LICENSE"]
    subprocess.run(["cp", "-r", *(str(ROOT / name) for name in names), str(source)], check=True)
    options = ["--no-deps", "--no-build-isolation", "--no-index", f"--wheel-dir={out}"]
    subprocess.run([*PIP, "wheel", *options, str(source)], check=True, timeout=HANGS)
    (path,) = out.glob("rectloc_tf-*.whl")
    return path


def test_wheel_holds_the_two_packages_and_the_licence(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert tops == {"rectloc_tf", "pipelines"}
    assert {"rectloc_tf/train.py", "rectloc_tf/serving/rest/page.html"} <= {*names}
    assert any(name.endswith("LICENSE") for name in names)


def test_wheel_trains_outside_the_repository(wheel, tmp_path):
    target = tmp_path / "site"
    options = ["--no-deps", "--no-index", f"--target={target}", str(wheel)]
    subprocess.run([*PIP, "install", *options], check=True, timeout=HANGS)
    environment = {**os.environ, "PYTHONPATH": str(target)}
    where = subprocess.run(
        [sys.executable, "-c", "import rectloc_tf; print(rectloc_tf.__file__)"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert where.stdout.startswith(str(target))
    flags = ("--image_size=64", "--num_images=4", "--batch_size=2", "--epochs=1")
    out = succeeded(run_cold("train", "--arch=deconv", *flags, cwd=tmp_path, env=environment))
    assert "epoch 1/1" in out
