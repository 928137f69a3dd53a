"""No code from data: what our files never call, and versions whose known holes are closed."""

import ast
import configparser
import json
import os
import re
import zipfile

import keras
import pytest

import rectloc_tf.models as models
from rectloc_tf.errors import UserError
from tests.conftest import ROOT

FOLDERS = ("rectloc_tf", "pipelines", "figures", "benchmarks", "examples")
FILES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
FILES.append(ROOT / "bootstrap.py")

RUN_CODE_IN_DATA = {"pickle", "_pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle",
                    "joblib", "jsonpickle"}  # fmt: skip
UNSAFE_CALLS = {
    "eval", "exec", "compile", "__import__", "yaml.load", "yaml.full_load", "yaml.unsafe_load",
    "os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput",
    "tempfile.mktemp", "torch.load", "pandas.read_pickle",
}  # fmt: skip
ONLY_AS = {"allow_pickle": False, "safe_mode": True, "shell": False, "weights_only": True}
MUST_SAY = {"numpy.load": "allow_pickle"}


def full_names(tree):
    """What each imported name stands for: `np` -> numpy, `system` -> os.system."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                whole = alias.name if alias.asname else alias.name.split(".")[0]
                names[alias.asname or whole] = whole
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return names


def dotted(node, names):
    """`np.load` -> numpy.load; empty for what is no chain of names."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ""
    whole = ".".join([names.get(node.id, node.id), *reversed(parts)])
    return whole.removeprefix("builtins.")


def unsafe(text):
    """(line, what) of all that may run code found in data, or in a shell."""
    tree = ast.parse(text)
    names, found = full_names(tree), []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = getattr(node, "module", None)
            modules = [module] if module else [alias.name for alias in node.names]
            what = [name for name in modules if name.split(".")[0] in RUN_CODE_IN_DATA]
        elif isinstance(node, ast.Call):
            name = dotted(node.func, names)
            given = {word.arg: word.value for word in node.keywords}
            what = [name] if name in UNSAFE_CALLS else []
            what += [
                word for word, value in given.items()
                if word in ONLY_AS
                and not (isinstance(value, ast.Constant) and value.value is ONLY_AS[word])
            ]  # fmt: skip
            if name in MUST_SAY and MUST_SAY[name] not in given:
                what.append(name)
        elif isinstance(node, ast.Name | ast.Attribute | ast.alias):
            own = getattr(node, "attr", None) or getattr(node, "id", None) or node.name
            what = [own] if own.endswith("enable_unsafe_deserialization") else []
        else:
            what = []
        found += [(node.lineno, text) for text in what]
    return found


SNIPPETS = {
    "import pickle": "pickle",
    "def f():\n    from pickle import loads": "pickle",
    "import marshal as m": "marshal",
    "import shelve": "shelve",
    "import dill": "dill",
    "import joblib.numpy_pickle": "joblib.numpy_pickle",
    "eval('1')": "eval",
    "import builtins\nbuiltins.exec(text)": "exec",
    "exec(text)": "exec",
    "compile(text, 'name', 'exec')": "compile",
    "__import__(name)": "__import__",
    "import yaml\nyaml.load(file, Loader)": "yaml.load",
    "from yaml import load as read\nread(file)": "yaml.load",
    "import numpy as np\nnp.load(file, allow_pickle=True)": "allow_pickle",
    "import numpy as np\nnp.load(file, allow_pickle=trust)": "allow_pickle",
    "import numpy as np\nnp.load(file)": "numpy.load",
    "from numpy import load\nload(file)": "numpy.load",
    "keras.saving.load_model(path, safe_mode=False)": "safe_mode",
    "keras.config.enable_unsafe_deserialization()": "enable_unsafe_deserialization",
    "from keras.config import enable_unsafe_deserialization": "enable_unsafe_deserialization",
    "import subprocess\nsubprocess.run(text, shell=True)": "shell",
    "import os\nos.system(text)": "os.system",
    "from os import popen\npopen(text)": "os.popen",
    "import tempfile as t\nt.mktemp()": "tempfile.mktemp",
    "import torch\ntorch.load(path)": "torch.load",
    "import torch\ntorch.load(path, weights_only=False)": "weights_only",
}


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_each_unsafe_call_is_seen(snippet):
    assert SNIPPETS[snippet] in [what for _, what in unsafe(snippet)]


def test_what_is_safe_is_not_blamed():
    text = """
import re, subprocess, numpy as np, keras
from os import path
re.compile("x").match("eval(1)")
model.compile(optimizer="adam")
np.load(file, allow_pickle=False)
keras.saving.load_model(path, compile=False, safe_mode=True)
subprocess.run(["ls"], shell=False)
"""
    assert unsafe(text) == []


def test_none_of_our_files_runs_code_from_data():
    assert len(FILES) > 100
    found = {str(path.relative_to(ROOT)): unsafe(path.read_text()) for path in FILES}
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_models_are_loaded_in_one_place():
    """So that its safe mode and its limits hold everywhere."""
    calls = [
        path.relative_to(ROOT).as_posix()
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("saving.load_model")
    ]
    assert calls == ["rectloc_tf/models.py"]


def archive_with(path, config, **members):
    """A `.keras` file of this config and, if need be, other members."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", config if isinstance(config, str) else json.dumps(config))
        archive.writestr("metadata.json", json.dumps({"keras_version": keras.__version__}))
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def test_a_model_that_brings_code_is_refused_and_its_code_not_run(tmp_path):
    path, proof = tmp_path / "best.keras", str(tmp_path / "it ran")
    inputs = keras.Input((2,))
    code = keras.layers.Lambda(lambda x: (os.makedirs(proof, exist_ok=True), x)[1])
    keras.Model(inputs, code(inputs)).save(path)
    os.rmdir(proof)  # it ran while the model was built, here
    with pytest.raises(UserError) as caught:
        models.load_model(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "Lambda" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not os.path.exists(proof)


@pytest.mark.parametrize(
    "config",
    [
        {"module": "os", "class_name": "system", "config": {"command": "true"}},
        {"module": "builtins", "class_name": "eval", "config": "1"},
        {"module": "keras.config", "class_name": "function",
         "config": "enable_unsafe_deserialization", "registered_name": "function"},
        {"module": "keras.layers", "class_name": "TFSMLayer",
         "config": {"filepath": "/tmp", "call_endpoint": "serve"}},
    ],
    ids=["a call", "eval", "its own leave", "a SavedModel elsewhere"],
)  # fmt: skip
def test_a_model_that_names_other_code_is_refused(tmp_path, config):
    path = archive_with(tmp_path / "best.keras", config)
    with pytest.raises(UserError) as caught:
        models.load_model(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


# The least versions in setup.cfg, and what was wrong with the ones before. Of what TensorFlow or
# Matplotlib bring along (Pillow, protobuf, ...) pip takes the newest that they allow.
ADVISORIES = {
    # load_model: code despite safe mode (CVE-2025-1550, 8747, 9905, 9906, 49655; CVE-2026-1462),
    # files and addresses read (CVE-2025-12058; CVE-2026-1669), paths out of an archive
    # (CVE-2025-12060, 12638; GHSA-hqp4-2352-xf5r), memory (CVE-2026-0897, 12570).
    "keras": "3.15",
    "tensorflow": "2.21",  # CVE-2026-2492: plugins from a folder that others may write
    # CVE-2025-53644: a JPEG 2000 overwrites memory; CVE-2026-40962: a film, in FFmpeg before 8.1
    # of the wheels; CVE-2026-22801: a PNG, in libpng.
    "opencv-python-headless": "5.0.0.93",
    "h5py": "3.14",  # CVE-2026-26200, in HDF5 before 1.14.6; TensorFlow allows no newer one
    "numpy": "1.22",  # CVE-2021-41496
    "scipy": "1.10",  # CVE-2023-25399
    "torch": "2.6",  # CVE-2025-32434: code despite weights_only
    "pytest": "9.0.3",  # CVE-2025-71176: a folder in /tmp that others can take
    "setuptools": "78.1.1",  # CVE-2025-47273: paths out of a package
}


def numbers(version):
    return tuple(map(int, version.split(".")))


def least_versions():
    """(name, version) of every requirement in setup.cfg and pyproject.toml."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    extras = [value for _, value in config.items("options.extras_require")]
    lines = "\n".join([config["options"]["install_requires"], *extras]).split("\n")
    build = re.findall(r'requires = \["(.*)"\]', (ROOT / "pyproject.toml").read_text())
    assert len(build) == 1
    pattern = r"([\w-]+)(?:\[[\w-]+\])?>=([\d.]+)"
    return [re.match(pattern, line).groups() for line in [*lines, *build] if line]


def test_least_versions_exclude_known_advisories():
    least = least_versions()
    assert {*ADVISORIES} <= {name for name, _ in least}
    for name, version in least:
        if name in ADVISORIES:
            assert numbers(version) >= numbers(ADVISORIES[name]), name
