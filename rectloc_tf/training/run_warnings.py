"""What a run warns of as it trains. Each function returns a line for people, or None."""

from rectloc_tf.config import RunConfig
from rectloc_tf.training.progress import format_seconds

LONG_RUN = 2 * 3600  # seconds
# A heatmap whose loss is this near the all-black map's has learnt nothing.
COLLAPSED = 0.98


def long_run(run: RunConfig, step: int, images_per_second: float) -> str | None:
    """Whether what is left of a run after `step` steps takes very long, and what shortens it."""
    seconds = (run.total_steps - step) * run.batch_size / images_per_second
    if seconds <= LONG_RUN:
        return None
    return (
        f"at {images_per_second:.0f} images/s this run takes {format_seconds(seconds)} hours. "
        "Shorter: --flagfile=flags/quick.flags, or a smaller --image_size (here "
        f"{run.image_size}), --num_images ({run.num_images}) or --epochs ({run.epochs})"
    )


def collapse(run: RunConfig, history: list[dict[str, float]]) -> str | None:
    """Whether a heatmap is still black in the first row after a third of the epochs.

    Args:
        run: what is trained.
        history: rows of `history.csv` so far; the last one is new.
    """
    row = history[-1]
    third = next((r for r in history if r["epoch"] >= run.epochs / 3), None)
    beaten = row["val_loss"] <= COLLAPSED * row["val_zero_map_loss"]
    if row is not third or not run.targets.is_heatmap or beaten:
        return None
    return (
        "the heatmap has not left the all-black map after a third of the epochs "
        f"(validation {row['val_loss']:.1f}, all-black {row['val_zero_map_loss']:.1f}); if it "
        "stays there, try more images or epochs, another --learning_rate or --seed, a smaller "
        "--batch_size or a larger --radius (README, 'When a heatmap stays black')"
    )
