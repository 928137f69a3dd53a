"""Export a network: `python -m rectloc_tf.export --run_dir=... --export_dir=... --format=onnx`.

The export is checked immediately: if its predictions on test images differ from the network's, it
is refused. All formats but saved_model compute in float32, whatever the run's precision.
Without --run_dir, the run is found from the flags that describe it.
"""

from rectloc_tf import cli
from rectloc_tf.errors import ConfigError
from rectloc_tf.registry import FORMATS
from rectloc_tf.results.output_files import check_folder
from rectloc_tf.serving.parity import Parity


def export() -> None:
    """Exports the run's model into the next version folder."""
    export_dir = cli.path_option("export_dir")
    if export_dir is None:
        raise ConfigError("--export_dir: name the folder that holds the numbered versions")
    name, quantize = cli.option("format"), cli.option("quantize")
    check_format(name, quantize)
    check_folder("export_dir", export_dir)
    folder, run = cli.open_run()
    from rectloc_tf.serving.exporting import export_checked, open_served
    from rectloc_tf.serving.formats.format import STAGES

    where = cli.option("weights"), cli.option("data"), cli.option("images_root")
    served, source = open_served(folder, run, *where)
    found = export_checked(served, source, export_dir, name, quantize)
    how = " in float32" if found.rounding else ""
    print(
        f"checked on {found.parity.pictures} images: {_distance(found.parity)} from the network's "
        f"predictions{how}\nexported {found.folder}"
    )
    if found.rounding:
        print(
            f"in {run.precision}, as predict and serve compute, the network itself is "
            f"{found.rounding.mean:.2g} px from that on average, {_distance(found.rounding)}"
        )
    if found.first_stage > 1:
        print(
            f"stages {found.first_stage} to {STAGES} of the backbone are in 8 bits: with more of "
            "it the predictions differ too much"
        )


def _distance(parity: Parity) -> str:
    """As `at most 0.2 px`, and how many images are further away because of another peak."""
    flips = f" (another peak in {parity.flips} images)" if parity.flips else ""
    return f"at most {parity.max:.2g} px{flips}"


def check_format(name: str, quantize: str) -> None:
    """Refuses what a format cannot do, or cannot do here.

    Raises:
        ConfigError: naming the flag, and what would be right.
    """
    spec = FORMATS[name]
    if quantize not in spec.quantize:
        able = ", ".join(other for other, its in FORMATS.items() if quantize in its.quantize)
        raise ConfigError(f"--quantize={quantize}: not for --format={name}; use one of {able}")
    if missing := spec.missing(quantize):
        install = f"pip install -e '.[{spec.extra}]'"
        raise ConfigError(f"--format={name}: {', '.join(missing)} is not installed; {install}")


if __name__ == "__main__":
    cli.main("export", export)
