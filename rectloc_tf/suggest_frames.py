"""Suggest frames to label: `python -m rectloc_tf.suggest_frames --video=clip.mp4 --output_dir=DIR`.

Chooses --num frames of each video that look as different as possible. With --run_dir, half of them
are those where that network is least confident, and frames it was trained or tested on are left
out. The frames are written as images, with an empty label file for DeepLabCut.
"""

import os
import sys
from pathlib import Path

from pipelines.video_files import open_video
from rectloc_tf import cli
from rectloc_tf.errors import ConfigError
from rectloc_tf.results.output_files import check_folder
from rectloc_tf.serving import suggestions
from rectloc_tf.serving.video_progress import VideoProgress
from rectloc_tf.training.progress import ProgressLine


def suggest_frames() -> None:
    """Writes the frames of each video into a folder of its own."""
    output_dir, scorer = cli.path_option("output_dir"), cli.option("scorer")
    if output_dir is None:
        raise ConfigError(
            "--output_dir: missing; give a folder, such as the project's labeled-data"
        )
    if not scorer or set(scorer) & set("/\\\n\r"):
        raise ConfigError(f"--scorer={scorer}: must be usable in a file name")
    videos = [open_video(path) for path in _paths(cli.option("video"))]
    folders = suggestions.suggestion_folders(output_dir, [video.path for video in videos])
    keypoints, network, known = _keypoints(), None, []
    if cli.run_dir():
        run_folder, run = cli.open_run()
        from rectloc_tf.serving.video_prediction import make_confidences

        keypoints, network = make_confidences(run_folder, run, cli.option("weights"))
        known = run_folder.read_contents()["images"] if run_folder.has_contents() else []
    elif not keypoints:
        hint = "list them, as in --keypoints=nose,tail, or give the --run_dir of a network"
        raise ConfigError(f"--keypoints: missing; {hint}")
    check_folder("output_dir", output_dir)
    line, total = ProgressLine(sys.stderr), 0
    for video, folder in zip(videos, folders, strict=True):
        labelled = suggestions.frames_in([image["name"] for image in known], video.path.name)
        progress = VideoProgress(video, line)
        looks = suggestions.look_at(video, network, progress, without=labelled)
        numbers = suggestions.choose_frames(looks, cli.option("num"))
        total += suggestions.write_suggestions(folder, video, numbers, keypoints, scorer)
        line.clear()
        print(f"{folder}: {len(numbers)} frames of {video.path}")
    after = f"`python -m rectloc_tf.check_labels --data={output_dir}`"
    print(f"{total} frames to label, in DeepLabCut from its project's labeled-data; then {after}")


def _keypoints() -> list[str]:
    names = [name.strip() for name in cli.option("keypoints").split(",")]
    if len({*names}) < len(names):
        raise ConfigError(f"--keypoints={cli.option('keypoints')}: has a duplicate name")
    return [name for name in names if name]


def _paths(videos: str | None) -> list[Path]:
    """One file, also with a comma in its name, or several with commas."""
    if not videos:
        raise ConfigError("--video: missing; give a video, or several separated by commas")
    whole = os.path.expanduser(videos)
    names = [whole] if os.path.exists(whole) else videos.split(",")
    return [Path(os.path.expanduser(name.strip())) for name in names if name.strip()]


if __name__ == "__main__":
    cli.main("suggest_frames", suggest_frames)
