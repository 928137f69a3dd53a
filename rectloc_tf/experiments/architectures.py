"""Architecture of each network: layers, shapes and weights.

python -m rectloc_tf.experiments.architectures --flagfile=flags/study.flags
"""

from rectloc_tf.experiments.command import main
from rectloc_tf.experiments.plan import COMPARED, Experiment, Settings, Task


def plan(settings: Settings) -> list[Task]:
    """No runs: networks need no training to be drawn."""
    return []


def stages(model) -> list[dict]:
    """A network's layers in order, those of one residual block together.

    Each stage: name, kind, the output's shape without the batch, and weights (trained numbers
    and moving statistics alike).
    """
    found: dict[str, dict] = {}
    for layer in model.layers:
        block = layer.name.startswith("stack")
        name = "_".join(layer.name.split("_")[:2]) if block else layer.name
        kind = "residual block" if block else type(layer).__name__
        stage = found.setdefault(name, {"name": name, "kind": kind, "weights": 0})
        stage["shape"] = list(layer.output.shape[1:])
        stage["weights"] += layer.count_params()
    return list(found.values())


def summarise(settings: Settings, summaries) -> dict:
    """The stages of each head's network, built from the base run."""
    from rectloc_tf.models import build_run_model, run_head

    networks = {}
    for arch in COMPARED:
        run = settings.varied(arch=arch)
        model = build_run_model(run, run_head(run), channels=1)
        networks[arch] = {"weights": model.count_params(), "stages": stages(model)}
    return {"networks": networks}


EXPERIMENT = Experiment("architectures", plan, summarise)

if __name__ == "__main__":
    main(EXPERIMENT)
