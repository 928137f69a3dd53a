"""From labelled images to answers: checks the labels, trains, predicts.

    python examples/own_images.py OUTPUT                  # on images that it draws
    python examples/own_images.py OUTPUT --data=PROJECT   # on yours: a label file, or its folder

You can type these commands as well. OUTPUT gets labels.png, the run, and answers.csv for the test
images, a table as DeepLabCut's.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np


def make_project(folder: Path) -> Path:
    """Draws a bright head and a grey tail in each image, and writes their labels as DeepLabCut."""
    (frames := folder / "labeled-data" / "film").mkdir(parents=True, exist_ok=True)
    width, height, rng = 80, 60, np.random.default_rng(0)
    rows = ["scorer,me,me,me,me", "bodyparts,head,head,tail,tail", "coords,x,y,x,y"]
    for number in range(24):
        image = rng.integers(20, 60, (height, width), np.uint8)
        head = rng.integers((30, 10), (width - 10, height - 10))
        tail = head - [20, rng.integers(-8, 8)]
        for point, grey in ((tail, 120), (head, 230)):
            cv2.circle(image, point.tolist(), 4, grey, -1)
        cv2.imwrite(str(frames / f"img{number:02d}.png"), image)
        rows.append(",".join(map(str, [f"labeled-data/film/img{number:02d}.png", *head, *tail])))
    (frames / "CollectedData_me.csv").write_text("\n".join(rows) + "\n")
    return folder


def command(name: str, *flags: str) -> None:
    """Runs `python -m rectloc_tf.NAME FLAGS`; ends this program if it fails."""
    print(f"\n$ python -m rectloc_tf.{name} {' '.join(flags)}", flush=True)
    if code := subprocess.run([sys.executable, "-m", f"rectloc_tf.{name}", *flags]).returncode:
        sys.exit(code)  # the command has said why


def main(output: Path, data: Path | None, image_size: int, steps: int) -> None:
    """Runs the three commands."""
    output.mkdir(parents=True, exist_ok=True)
    labels, run = f"--data={data or make_project(output / 'project')}", f"--run_dir={output}/run"
    command("check_labels", labels, f"--output={output}/labels.png")
    how = (f"--image_size={image_size}", f"--steps={steps}", "--batch_size=8")
    command("train", labels, "--arch=score_map", *how, run)  # resumes if it was interrupted
    # The images of the test split; --images=FILES or --video=FILE answers others.
    command("predict", run, f"--output={output}/answers.csv")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("output", type=Path, help="folder for all that is made")
    parser.add_argument("--data", type=Path, help="label file or its folder; drawn if left out")
    parser.add_argument("--image_size", type=int, default=64, help="for photographs 160 or more")
    parser.add_argument("--steps", type=int, default=300, help="for photographs 2000 or more")
    main(**vars(parser.parse_args()))
