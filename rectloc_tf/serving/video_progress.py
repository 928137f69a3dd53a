"""How far a video is, on a line with the time that the rest will take. No TensorFlow."""

import time

from pipelines.video_files import Video
from rectloc_tf.training.progress import ProgressLine, format_seconds


class VideoProgress:
    """Shows on a line, where it is due, how many frames are done; call it with their numbers."""

    def __init__(self, video: Video, line: ProgressLine):
        self._video, self._line = video, line
        self._start = time.monotonic()

    def __call__(self, number: int) -> None:
        """Shows that the frame of some number is done."""
        if self._line.due():
            seconds = time.monotonic() - self._start
            self._line.update(progress_text(self._video, number + 1, seconds))


def progress_text(video: Video, done: int, seconds: float) -> str:
    """What is shown after `done` frames and some seconds."""
    rate = done / max(seconds, 1e-3)
    left = format_seconds(max(video.count - done, 0) / rate)
    return (
        f"{video.path.name}: {done:,} of {video.count:,} frames, {rate:.0f} frames/s, {left} left"
    )
