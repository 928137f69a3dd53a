"""Frames a second of `predict --video`, beside those that OpenCV alone decodes.

    python benchmarks/video.py RUN_DIR VIDEO --output=benchmarks/video.json

Three ways take turns: decoding alone, predicting, and predicting with an overlay video, each with
the seconds that its network takes to be traced. A first round is not counted.
"""

import argparse
import io
import json
import statistics
import tempfile
from pathlib import Path
from time import perf_counter

import cv2

from pipelines.resampling import PLACES
from pipelines.video_files import open_video
from rectloc_tf.models import load_model, run_head
from rectloc_tf.processor import describe_machine
from rectloc_tf.registry import SOURCES
from rectloc_tf.results.data_files import write_json
from rectloc_tf.results.rundir import RunFolder
from rectloc_tf.serving.video_prediction import VideoRun, write_video_answers

ROUNDS = 3


def decode(path: Path) -> int:
    """Reads all frames by OpenCV; returns their number."""
    capture, count = cv2.VideoCapture(str(path)), 0
    while capture.read()[0]:
        count += 1
    capture.release()
    return count


def measure(run_dir: Path, path: Path) -> dict:
    """Frames a second of each way in each round, and their medians."""
    folder = RunFolder(run_dir)
    run, video = folder.run_config(), open_video(path)
    model = load_model(folder.best_model, run)
    how = VideoRun(model, run_head(run), PLACES[SOURCES[run.source].place], folder.path.name)
    frames = decode(path)

    def predict(place: Path, overlay: Path | None = None) -> None:
        write_video_answers(how, video, place / "points.csv", overlay, io.StringIO())

    ways = {
        "decode": lambda place: decode(path),
        "predict": predict,
        "predict, overlay": lambda place: predict(place, place / "drawn.mp4"),
    }
    rates: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(ROUNDS + 1):
        for way, act in ways.items():
            with tempfile.TemporaryDirectory() as place:
                start = perf_counter()
                act(Path(place))
                rate = frames / (perf_counter() - start)
            if number:
                rates[way].append(round(rate, 1))
    return {
        "run": {name: getattr(run, name) for name in ("arch", "depth", "image_size", "precision")},
        "video": {"frames": frames, "width": video.width, "height": video.height},
        "frames_per_second": {way: statistics.median(found) for way, found in rates.items()},
        "rounds": rates,
        "machine": describe_machine(),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("video", type=Path)
    parser.add_argument("--output", type=Path, required=True, help="JSON file")
    options = parser.parse_args()
    report = measure(options.run_dir, options.video)
    write_json(options.output, report)
    print(json.dumps(report["frames_per_second"]))
