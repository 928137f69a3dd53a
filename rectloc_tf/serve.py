"""Serve networks to programs and browsers: `python -m rectloc_tf.serve --run_dir=A --run_dir=B`.

Provides TensorFlow Serving's REST API at /v1/models/NAME (NAME is the name of the run's folder) and
a page at / on which you draw rectangles, or drop an image, and all networks predict. Needs the
extra [serve]. There are no passwords: anyone who can reach --host can use it. --allowed_hosts adds
host names that browsers may use. Ctrl-C ends it.
"""

from concurrent.futures import ThreadPoolExecutor

from rectloc_tf import cli
from rectloc_tf.config import SceneConfig
from rectloc_tf.errors import UserError
from rectloc_tf.serving.rest.callers import make_hosts


def serve() -> None:
    """Serves until a signal, then answers what has begun."""
    try:
        from rectloc_tf.serving.rest import server
    except ImportError as error:
        missing = f"serve needs the extra [serve] ({error.name} is missing)"
        raise UserError(f"{missing}: pip install uvicorn") from error
    host, allowed = cli.option("host"), cli.option("allowed_hosts")
    with server.bind(host, cli.option("port")) as listening:
        hosts = make_hosts(listening.getsockname()[0], host, allowed)
        runs = cli.open_runs()
        from rectloc_tf.serving.rest.app import App, Limits
        from rectloc_tf.serving.rest.networks import open_network
        from rectloc_tf.serving.rest.scenes import make_stage

        weights = cli.option("weights")
        threshold = cli.option("threshold")
        networks = {
            name: open_network(name, *about, weights, threshold) for name, about in runs.items()
        }
        scenes = [run.scene for _, run in runs.values() if run.source == "scenes"]
        limits = Limits()
        with ThreadPoolExecutor(1) as computing, ThreadPoolExecutor(2) as parsing:
            stage = make_stage(scenes[0] if scenes else SceneConfig())
            app = App(networks, stage, (computing, parsing), limits, hosts)
            where = server.url(listening)
            print(f"{where}: serving {', '.join(networks)}; Ctrl-C ends it", flush=True)
            server.make_server(app, limits.seconds).run(sockets=[listening])


if __name__ == "__main__":
    cli.main("serve", serve)
