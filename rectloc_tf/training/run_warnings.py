"""Warnings during training. Each function returns one line for the user, or None."""

from collections.abc import Sequence

from rectloc_tf.config import RunConfig
from rectloc_tf.training.progress import format_seconds

LONG_RUN = 2 * 3600  # seconds
# A map whose loss is at least this share of an empty map's has learnt nothing.
COLLAPSED = 0.98


def long_run(run: RunConfig, step: int, images_per_second: float) -> str | None:
    """Whether what is left of a run after `step` steps takes very long, and what shortens it."""
    seconds = (run.total_steps - step) * run.batch_size / images_per_second
    if seconds <= LONG_RUN:
        return None
    shorter = f"--num_images ({run.num_images}) or --epochs ({run.epochs})"
    if run.steps:
        shorter = f"--batch_size ({run.batch_size}) or --steps ({run.steps})"
    quick = "" if "num_images" in run.unused else "--flagfile=flags/quick.flags, or "
    return (
        f"at {images_per_second:.0f} images/s this run takes {format_seconds(seconds)} hours. "
        f"Shorter: {quick}a smaller --image_size (here {run.image_size}), {shorter}"
    )


def collapse(
    run: RunConfig,
    names: Sequence[str],
    shares: Sequence[float | None] | None,
    history: list[dict[str, float]],
) -> str | None:
    """Whether maps are still empty in the first row after a third of the epochs.

    Args:
        run: what is trained.
        names: of the keypoints.
        shares: each map's validation loss over that of an empty map; None if the head cannot be
            empty.
        history: rows of `history.csv` so far; the last one is new.
    """
    done = ((row["step"] if run.steps else row["epoch"]) for row in history)
    rows = zip(history, done, strict=True)
    third = next((row for row, number in rows if number >= run.length / 3), None)
    if history[-1] is not third or shares is None:
        return None
    empty = [n for n, share in enumerate(shares) if share is not None and share >= COLLAPSED]
    if not empty:
        return None
    which = "the heatmap"
    if len(shares) > 1:
        which = f"the map of {', '.join(names[n] for n in empty)}"
    worst = max(shares[n] or 0.0 for n in empty)
    return (
        f"{which} is still empty after a third of the {run.unit}s (validation loss {worst:.1%} of "
        f"that of an empty map); if it stays so, try more images or {run.unit}s, another "
        "--learning_rate or --seed, a smaller --batch_size or a larger --radius (GUIDE.md, 'When a "
        "map stays empty')"
    )
