"""The pictures in a run folder, and the snapshots that some of them are drawn from."""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from matplotlib.figure import Figure

from pipelines.source import Source
from rectloc_tf.config import RunConfig
from rectloc_tf.heads.head import Head
from rectloc_tf.registry import NAMED, SOURCES
from rectloc_tf.results import plots
from rectloc_tf.results.answers import Answers
from rectloc_tf.results.pictures import answer_with, image_errors, predict_scenes
from rectloc_tf.results.rundir import DEFAULT_THRESHOLD, History, RunFolder


@dataclass(frozen=True)
class RunPictures:
    """Draws into a run folder; models are passed in, since they change."""

    run: RunConfig
    source: Source
    head: Head
    folder: RunFolder

    @property
    def _style(self) -> dict[str, Any]:
        keypoints = self.source.keypoints
        names = keypoints.names if keypoints.kind == NAMED else ()
        return {"words": SOURCES[self.run.source].words, "names": names}

    def _predict(
        self,
        model: keras.Model,
        indices: range | list[int],
        threshold: float = DEFAULT_THRESHOLD,
    ) -> dict[str, Any]:
        return predict_scenes(answer_with(model, self.head), self.source, indices, threshold)

    def snapshot(self, model: keras.Model, done: int) -> Figure:
        """Keeps the predictions on a few validation images, and draws them.

        Args:
            model: as it is now.
            done: epochs or steps, see `RunConfig.done`.
        """
        indices = self.source.indices("validation")[: plots.NUM_SNAPSHOT_SCENES]
        pictured = self._predict(model, indices)
        arrays = {"points": pictured["points"]}
        if "heatmaps" in pictured:
            arrays["heatmaps"] = np.clip(pictured["heatmaps"], 0, 255).round().astype(np.uint8)
        self.folder.write_snapshot(done, arrays, self.run.unit)
        return plots.prediction_grid(pictured, **self._style)

    def draw(self, model: keras.Model, history: History, threshold: float) -> None:
        """Writes predictions on validation images, the history, and how predictions developed.

        Args:
            model: that predicts.
            history: of its training.
            threshold: minimum confidence of a detection, for points of one class.
        """
        folder, unit, style = self.folder, self.run.unit, self._style
        indices = self.source.indices("validation")[: plots.NUM_PICTURED_SCENES]
        pictured = self._predict(model, indices, threshold)
        folder.save_figure("predictions", plots.prediction_grid(pictured, **style))
        folder.save_figure("history", plots.history_curves(history, style["words"]))
        images, truths = (pictured[name][: plots.NUM_STRIP_SCENES] for name in ("images", "truths"))
        how = style["words"], unit, style["names"]
        strip = plots.epoch_strip(images, truths, folder.read_snapshots(unit), *how)
        folder.save_figure("epochs", strip)

    def draw_worst(self, model: keras.Model, indices: range, answers: Answers) -> None:
        """Writes a picture of the images with the largest errors.

        Args:
            model: that answered.
            indices: of the images.
            answers: to them.
        """
        if not self._style["names"]:
            return
        errors = image_errors(self.source, indices, answers.points)
        worst = [i for i in np.argsort(-errors, kind="stable") if np.isfinite(errors[i])]
        worst = worst[: plots.NUM_WORST_IMAGES]
        if not worst:
            return
        pictured = self._predict(model, [indices[i] for i in worst])
        titles = [f"{self.source.label(indices[i])}\n{errors[i]:.1f} px" for i in worst]
        grid = plots.prediction_grid(pictured, titles=titles, **self._style)
        self.folder.save_figure("worst", grid)
