"""Export a SavedModel: `python -m rectloc_tf.export --run_dir=... --export_dir=...`.

Without --run_dir, the flags that describe the run find it.
"""

from rectloc_tf import cli
from rectloc_tf.errors import ConfigError
from rectloc_tf.registry import SOURCES
from rectloc_tf.results.output_files import check_folder


def export() -> None:
    """Exports the run's model into the next version folder."""
    export_dir = cli.path_option("export_dir")
    if export_dir is None:
        raise ConfigError("--export_dir: name the folder that holds the numbered versions")
    check_folder("export_dir", export_dir)
    folder, run = cli.open_run()
    from pipelines.resampling import PLACES
    from rectloc_tf.models import load_model, run_head
    from rectloc_tf.serving.saved_model import export_model

    model = load_model(folder.model_path(cli.option("weights")), run)
    head = run_head(run)
    place = PLACES[SOURCES[run.source].place]
    print(f"exported {export_model(model, head, export_dir, place)}")


if __name__ == "__main__":
    cli.main("export", export)
