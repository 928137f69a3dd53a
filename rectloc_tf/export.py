"""Export a SavedModel: `python -m rectloc_tf.export --run_dir=... --export_dir=...`.

Without --run_dir, the flags that describe the run find it.
"""

from pathlib import Path

from rectloc_tf import cli
from rectloc_tf.errors import ConfigError


def export() -> None:
    """Exports the run's model into the next version folder."""
    if not cli.option("export_dir"):
        raise ConfigError("--export_dir: name the folder that holds the numbered versions")
    folder, _ = cli.open_run()
    from rectloc_tf.serving import export_model, load_model

    model = load_model(folder, cli.option("weights"))
    print(f"exported {export_model(model, Path(cli.option('export_dir')))}")


if __name__ == "__main__":
    cli.main("export", export)
