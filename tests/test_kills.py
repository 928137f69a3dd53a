"""Commands that are killed half-way (SIGKILL): nothing half-made is seen, and they can be repeated.

Trainings are in test_train, label budgets in test_label_budget; benchmarks/kill_campaign.py kills
trainings at many moments.
"""

import json
import os
import signal

from tests.conftest import ROOT, fork, run_ok


def test_an_export_killed_half_way_is_no_version(xy_run, tmp_path):
    served = tmp_path / "served"
    flags = (f"--run_dir={xy_run}", f"--export_dir={served}")
    killed = ("tests.killed", "subprocess.run", "check_export", "1")  # written, not yet checked
    done = fork("tensorflow", [*killed, "rectloc_tf.export", *flags], ROOT)
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "")
    (left,) = os.listdir(served)
    assert left.startswith(".tmp-")  # servers take folders that are numbers
    assert run_ok("export", *flags).strip().endswith("served/1")
    assert os.listdir(served) == ["1"]
    assert (served / "1" / "saved_model.pb").exists()
    parity = json.loads((served / "1" / "parity.json").read_text())  # written last
    assert parity["difference_px"]["max"] < 0.05
