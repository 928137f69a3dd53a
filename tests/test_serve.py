"""`serve` for real: a thousand requests, the page in a browser, and its end."""

import base64
import concurrent.futures
import contextlib
import http.client
import json
import math
import re
import signal
import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import tensorflow as tf

from pipelines.scenes.render import render_opencv
from pipelines.scenes.sampling import scene_table
from rectloc_tf import serve
from rectloc_tf.config import RunConfig, SceneConfig
from rectloc_tf.config.scenes import TEST_START
from rectloc_tf.errors import UserError
from rectloc_tf.models import load_model, run_head
from rectloc_tf.results.metrics import match_points
from rectloc_tf.results.rundir import RunFolder
from rectloc_tf.serving import rest
from rectloc_tf.serving.inference import make_answer_images
from rectloc_tf.serving.prediction import predict_files
from rectloc_tf.serving.rest import networks as served_networks
from tests.browser import open_browser
from tests.conftest import HANGS, run_without_tensorflow, start
from tests.narrow import narrow
from tests.training import small_network

SIZE = 64
NAMES = ("maps", "points")
CLIENTS, REQUESTS = 20, 50


@pytest.fixture(scope="module")
def folders(tmp_path_factory, score_map_run, xy_run):
    """Links to two runs: a network's name is that of the folder, or link, that is given."""
    links = tmp_path_factory.mktemp("served")
    for name, folder in zip(NAMES, (score_map_run, xy_run), strict=True):
        (links / name).symlink_to(folder)
    return {name: links / name for name in NAMES}


@pytest.fixture(scope="module")
def served(folders):
    """A running server."""
    process = start("serve", *(f"--run_dir={path}" for path in folders.values()), "--port=0")
    try:
        line = process.stdout.readline()
        pattern = r"http://127\.0\.0\.1:(\d+)/: serving maps, points; Ctrl-C ends it\n"
        found = re.fullmatch(pattern, line)
        assert found, line + process.stderr.read()
        port = int(found[1])
        yield SimpleNamespace(process=process, port=port, url=f"http://127.0.0.1:{port}/")
    finally:
        process.kill()
        process.communicate()


def connect(served):
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=HANGS)
    return contextlib.closing(connection)


def ask_on(connection, method, path, body=None):
    """Status and JSON of an answer."""
    connection.request(method, path, body)
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


def ask(served, method, path, body=None):
    with connect(served) as connection:
        return ask_on(connection, method, path, body)


@pytest.fixture(scope="module")
def networks(folders):
    """Each network without a server: the model and its head."""
    found = {name: RunFolder(folder) for name, folder in folders.items()}
    return {n: (load_model(f.best_model), run_head(f.run_config())) for n, f in found.items()}


def encode(image):
    done, data = cv2.imencode(".png", image)
    assert done
    return data.tobytes()


def encoded_request(data):
    instance = {"image_bytes": {"b64": base64.b64encode(data).decode()}}
    return json.dumps({"signature_name": "encoded", "instances": [instance]})


# Programs.


def test_a_thousand_requests_of_twenty_clients_are_all_answered(served, networks):
    """Grey pictures of fifty sizes: answers are in their pixels, so each has its own."""
    widths = [round(64 * 1.06**number) for number in range(REQUESTS)]
    files = [encode(np.full([32, width], 128, np.uint8)) for width in widths]
    answer = make_answer_images(*networks["points"])
    grey = answer(tf.fill([1, SIZE, SIZE, 1], tf.constant(128, tf.uint8)))["center_xy"].numpy()[0]
    expected = grey * [[width / SIZE, 32 / SIZE] for width in widths]
    bodies = [encoded_request(data) for data in files]

    def client(number):
        """Each begins at another picture, so that different ones are answered together."""
        path, answers = "/v1/models/points:predict", {}
        with connect(served) as connection:
            for turn in range(REQUESTS):
                place = (7 * number + turn) % REQUESTS
                status, answer = ask_on(connection, "POST", path, bodies[place])
                assert status == 200
                answers[place] = answer["predictions"][0]["center_xy"]
        return [answers[place] for place in range(REQUESTS)]

    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        answered = np.array([*pool.map(client, range(CLIENTS))])
    assert answered.shape == (CLIENTS, REQUESTS, 2)
    np.testing.assert_allclose(answered, np.broadcast_to(expected, answered.shape), rtol=0.02)


def test_both_formats_agree_with_the_network(served, networks):
    images = np.random.default_rng(1).integers(0, 256, (3, 48, 80, 1), np.uint8)
    answer = make_answer_images(*networks["maps"])
    expected = {name: value.numpy() for name, value in answer(tf.constant(images)).items()}
    path = "/v1/models/maps:predict"
    status, answer = ask(served, "POST", path, json.dumps({"instances": images.tolist()}))
    assert (status, len(answer["predictions"])) == (200, 3)
    rows = answer["predictions"]
    status, answer = ask(served, "POST", path, json.dumps({"inputs": {"images": images.tolist()}}))
    assert (status, answer["outputs"].keys()) == (200, expected.keys())
    for name, values in expected.items():
        np.testing.assert_allclose(answer["outputs"][name], values, rtol=1e-3, atol=1e-2)
        np.testing.assert_array_equal([row[name] for row in rows], answer["outputs"][name])
    empty = np.zeros([1, 0]).tolist()
    status, answer = ask(served, "POST", path, json.dumps({"inputs": empty}))
    assert status == 400


def test_metadata_says_what_goes_in_and_comes_out(served):
    status, about = ask(served, "GET", "/v1/models/maps/metadata")
    signatures = about["metadata"]["signature_def"]["signature_def"]
    assert (status, {*signatures}) == (200, {"serving_default", "encoded", "keypoints"})

    def described(signature, side):
        return {
            name: (info["dtype"], [int(dim["size"]) for dim in info["tensor_shape"]["dim"]])
            for name, info in signatures[signature][side].items()
        }

    assert described("serving_default", "inputs") == {"images": ("DT_UINT8", [-1, -1, -1, -1])}
    assert described("encoded", "inputs") == {"image_bytes": ("DT_STRING", [-1])}
    outputs = described("serving_default", "outputs")
    assert outputs["heatmap"] == ("DT_FLOAT", [-1, SIZE, SIZE])
    assert outputs["center_xy"] == ("DT_FLOAT", [-1, 2])
    assert described("keypoints", "outputs") == {"names": ("DT_STRING", [1])}


def test_a_damaged_picture_is_refused_and_the_next_one_answered(served):
    path = "/v1/models/points:predict"
    whole = encode(np.random.default_rng(2).integers(0, 256, (64, 64), np.uint8))
    status, answer = ask(served, "POST", path, encoded_request(whole[:600]))
    assert status == 400
    assert answer["error"].startswith("image_bytes: truncated or damaged image (")
    assert ask(served, "POST", path, encoded_request(whole))[0] == 200


def test_no_pictures_have_empty_answers(monkeypatch, tmp_path):
    with narrow():
        model, _ = small_network("deconv")
    monkeypatch.setattr(served_networks, "load_model", lambda path, run: model)
    run = RunConfig(arch="deconv", image_size=SIZE)
    network = served_networks.open_network("maps", RunFolder(tmp_path), run, "best")
    shapes = {
        "points_xy": (0, 1, 2), "point_confidence": (0, 1), "center_xy": (0, 2),
        "confidence": (0,), "heatmap": (0, SIZE, SIZE),
    }  # fmt: skip
    for endpoint, none in (("serving_default", [0, 20, 30, 3]), ("encoded", [0])):
        kind = object if endpoint == "encoded" else np.uint8
        answers = network.endpoints[endpoint].answer(np.zeros(none, kind))
        assert {name: answer.shape for name, answer in answers.items()} == shapes


def test_scenes_are_those_that_networks_are_tested_on(served):
    table = scene_table(SceneConfig(domain=3, image_size=SIZE))
    status, answer = ask(served, "GET", "/page/scenes?domain=3&start=998&count=3")
    assert (status, answer["size"]) == (200, SIZE)
    places = [TEST_START + 998, TEST_START + 999, TEST_START]
    assert answer["scenes"] == table[places].tolist()
    for query, name in (
        ("domain=21", "domain=21"),
        ("count=101", "count=101"),
        ("start=x", "start"),
    ):
        status, answer = ask(served, "GET", f"/page/scenes?{query}")
        assert status == 400
        assert answer["error"].startswith(name)


# The page, in a browser.


@pytest.fixture(scope="module")
def page(served, tmp_path_factory):
    with open_browser(tmp_path_factory.mktemp("profile")) as browser:
        page = browser.new_page()
        page.resize(1100, 900)
        page.open(served.url)
        yield page
        assert page.complaints == []


@pytest.fixture
def at(page):
    """A place of the scene, in its pixels -> one of the window."""
    page.run("page.setRectangles([])")

    def to_window(x, y):
        box = "document.getElementById('stage').getBoundingClientRect()"
        left, top, width = page.run(f"(b => [b.left, b.top, b.width])({box})")
        return left + x * width / SIZE, top + y * width / SIZE

    return to_window


def rectangles(page):
    return page.run("page.scene().rectangles")


def text(page, name):
    return page.run(f"document.getElementById('{name}').textContent")


def click(page, name):
    page.run(f"document.getElementById('{name}').click()")


def answers(page):
    """What each network answers to the scene, once all have answered it."""
    page.run("page.settled()")
    found = page.run("page.networks().map(n => ({name: n.about.name, ...n.visible()}))")
    return {answer.pop("name"): answer for answer in found}


def assert_answered_as_predicted(page, networks, picture):
    """What the page shows is what `predict` answers for a file."""
    for name, answer in answers(page).items():
        (prediction,) = predict_files(*networks[name], [picture], pytest.fail)
        np.testing.assert_allclose(answer["points"], prediction.points, atol=1e-4)
        if prediction.confidences is None:
            assert answer["confidences"] is None
        else:
            np.testing.assert_allclose(answer["confidences"], prediction.confidences, atol=1e-5)


def test_a_drawn_scene_is_answered_as_predict_answers_the_same_pixels(page, at, networks, tmp_path):
    page.drag(at(8, 10), at(20, 20), at(40, 30))
    page.drag(at(44, 40), at(60, 58))
    drawn = rectangles(page)
    assert drawn == [[8, 10, 40, 30], [44, 40, 60, 58]]
    picture = tmp_path / "scene.png"
    picture.write_bytes(bytes(page.run("[...page.scene().bytes]")))
    pixels = cv2.imread(str(picture), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(pixels, render_opencv(np.array([drawn]), SIZE)[0, ..., 0])
    assert_answered_as_predicted(page, networks, picture)


def test_an_opened_picture_is_answered_as_predict_answers_the_file(page, at, networks, tmp_path):
    noise = np.random.default_rng(3).integers(0, 256, (50, 90, 3), np.uint8)
    picture = tmp_path / "noise.png"
    cv2.imwrite(str(picture), noise)
    data = json.dumps([*picture.read_bytes()])
    click(page, "run")
    page.run(f"openPicture(new File([Uint8Array.from({data})], 'noise.png'))")
    assert text(page, "run") == "Score 100 scenes"  # it ends that
    assert page.run("[page.scene().width, page.scene().height]") == [90, 50]
    assert_answered_as_predicted(page, networks, picture)
    click(page, "remove")
    page.run("document.getElementById('stage').focus()")
    page.press("Delete")
    assert page.run("page.scene().picture") == "noise.png"
    assert text(page, "status") == "noise.png, 90 × 50"
    click(page, "add")
    assert text(page, "status") == ""
    page.run("openPicture(new File(['no picture'], 'text.png'))")
    assert text(page, "status").startswith("text.png: this b")


def test_a_dropped_file_is_opened(page, at, tmp_path):
    picture = tmp_path / "dropped.png"
    cv2.imwrite(str(picture), np.full((20, 30), 9, np.uint8))
    page.run(
        f"""(() => {{
        const data = new DataTransfer();
        data.items.add(new File([Uint8Array.from({[*picture.read_bytes()]})], 'dropped.png'));
        dispatchEvent(new DragEvent('drop', {{dataTransfer: data, cancelable: true}}));
    }})()"""
    )
    page.run("(async () => { while (!page.scene().picture) await new Promise(setTimeout); })()")
    assert page.run("[page.scene().picture, page.scene().width]") == ["dropped.png", 30]


def test_the_scene_is_saved_as_it_is_sent(page, at):
    page.run("page.setRectangles([[10, 12, 50, 30]])")
    page.run("HTMLAnchorElement.prototype.click = function() { window.link = this; }")
    page.run("URL.createObjectURL = blob => { window.saved = blob; return '#'; }")
    click(page, "save")
    assert page.run("link.download") == "scene.png"
    saved = page.run("saved.arrayBuffer().then(data => [...new Uint8Array(data)])")
    assert saved == page.run("[...page.scene().bytes]")


def test_true_centres_are_drawn_if_they_are_wanted(page, at):
    page.run("page.setRectangles([[10, 10, 50, 50]])")
    page.run("page.settled()")
    # Right of the centre, beside what networks predict for it: none is on black without the mark.
    lit = """(() => {
        const canvas = document.getElementById('stage'), scale = canvas.width / page.stage().size;
        for (const network of page.networks()) network.answer = null;
        paintStage();
        const [x, y] = [30 * scale + canvas.width / 46, 30 * scale];
        const copy = new OffscreenCanvas(1, 1).getContext('2d', {willReadFrequently: true});
        copy.drawImage(canvas, -Math.round(x), -Math.round(y));
        return copy.getImageData(0, 0, 1, 1).data[0];
    })()"""
    assert page.run(lit) > 200
    click(page, "truth")
    assert page.run(lit) == 0
    click(page, "truth")
    page.run("page.setRectangles([])")


def test_the_time_of_an_answer_is_shown(page, at):
    answers(page)
    times = page.run("page.networks().map(n => n.timeShown.textContent)")
    assert all(re.fullmatch(r"\d+\.\d ms", time) for time in times)


def test_rectangles_are_moved_and_resized_by_mouse(page, at):
    page.run("page.setRectangles([[10, 10, 40, 40]])")
    page.drag(at(25, 25), at(28, 23))
    assert rectangles(page) == [[13, 8, 43, 38]]
    page.drag(at(43, 38), at(50, 30))  # the corner
    assert rectangles(page) == [[13, 8, 50, 30]]
    page.drag(at(13, 19), at(99, 19))  # the left edge, farther than the right one
    assert rectangles(page) == [[48, 8, 50, 30]]
    page.drag(at(49, 19), at(-99, 19))  # against the side of the image
    assert rectangles(page) == [[0, 8, 2, 30]]


def test_networks_answer_while_the_button_is_held(page, at):
    page.run("page.setRectangles([[10, 10, 30, 30]])")
    page.mouse("mousePressed", at(20, 20))
    for x in (24, 28):
        page.mouse("mouseMoved", at(x, 20))
        page.run("page.settled()")
        moved = [[x - 10, 10, x + 10, 30]]
        assert page.run("page.networks().map(n => n.scene.rectangles)") == [moved] * 2
    page.mouse("mouseReleased", at(28, 20))


def test_rectangles_are_changed_by_keys(page, at):
    page.run("page.setRectangles([[10, 10, 30, 30], [40, 40, 50, 50]])")
    page.run("document.getElementById('stage').focus()")
    page.press("ArrowRight")
    page.press("ArrowUp")
    page.press("ArrowLeft", shift=True)
    assert rectangles(page)[0] == [11, 9, 30, 29]
    page.press(" ")
    page.press("ArrowDown", shift=True)
    assert rectangles(page)[1] == [40, 40, 50, 51]
    label = page.run("document.getElementById('stage').getAttribute('aria-label')")
    assert label == "rectangle 2 of 2, centre x 45, y 45.5"
    page.run("document.activeElement.blur()")  # Remove acts on it still, so it is still shown
    pixel = "stage.getContext('2d').getImageData(...[40, 40].map(v => v * stage.width / 64), 1, 1)"
    assert page.run(f"(stage => [...{pixel}.data])(byId('stage'))") == [0x6D, 0xB8, 0xF2, 255]
    page.run("document.getElementById('stage').focus()")
    page.press("n")
    assert len(rectangles(page)) == 3
    page.press("Delete")
    page.press("Delete")
    assert rectangles(page) == [[11, 9, 30, 29]]


def test_the_slider_chooses_how_many_rectangles_a_random_scene_has(page, at):
    table = scene_table(SceneConfig(domain=5, image_size=SIZE))[TEST_START:].tolist()
    page.run("Math.random = () => 0.25")
    slide = "(s => { s.value = 5; s.dispatchEvent(new Event('input')); })"
    click(page, "run")
    page.run(f"{slide}(document.getElementById('count'))")
    assert text(page, "run") == "Score 100 scenes"
    wait_for(page, "page.scene().rectangles.length === 5")
    assert rectangles(page) == table[250]
    # A late answer to an earlier step of the slider changes nothing.
    page.run("""(async () => {
        const fetched = fetch, held = Promise.withResolvers();
        window.fetch = (...asked) => held.promise.then(() => fetched(...asked));
        const late = randomScene(7);
        window.fetch = fetched;
        await randomScene(5);
        held.resolve();
        await late;
    })()""")
    assert (rectangles(page), page.run("byId('count').value")) == (table[250], "5")
    page.run("Math.random = () => 0.5")
    click(page, "random")
    wait_for(page, f"page.scene().rectangles[0].join() === '{','.join(map(str, table[500][0]))}'")
    assert rectangles(page) == table[500]


def wait_for(page, condition):
    look = f"const look = () => {condition} ? done() : setTimeout(look, 20); look();"
    page.run(f"new Promise(done => {{ {look} }})")


def test_scenes_are_scored_as_they_run(page, at):
    click(page, "run")
    assert text(page, "run") == "Stop"
    click(page, "run")
    assert text(page, "run") == "Score 100 scenes"
    page.run("score(6)")  # the one that was stopped adds nothing to it
    tallies = page.run("page.networks().map(n => n.tally)")
    for tally in tallies:
        assert tally["scenes"] == 6
        assert tally["right"] + tally["wrong"] + tally["nowhere"] == 6
        assert len(tally["errors"]) == 6
    assert text(page, "progress") == "6 of 6"
    assert text(page, "run") == "Score 100 scenes"


def test_an_answer_is_judged_as_in_the_metrics(page):
    scene = "[[0, 0, 20, 20], [60, 60, 100, 110]], 112"  # middles (10, 10) and, larger, (80, 85)

    def judge(kind, points):
        about = json.dumps({"kind": kind, "ranks": [0]})
        return page.run(f"judge({about}, {json.dumps(points)}, {scene})")

    # An error of a working pixel of 112 is 2 of 224, and 16 is the limit.
    assert judge("ranked", [[83, 89]]) == {"right": 1, "wrong": 0, "nowhere": 0, "errors": [10]}
    assert judge("ranked", [[10, 18]])["wrong"] == 1
    assert judge("ranked", [[80, 93.1]]) == {
        "right": 0, "wrong": 0, "nowhere": 1, "errors": [pytest.approx(16.2)],
    }  # fmt: skip
    assert judge("ranked", [[None, None]])["nowhere"] == 1
    found = judge("unordered", [[80, 86], [80, 84.5], [12, 10], [50, 5]])
    assert found == {"found": 2, "missed": 0, "extra": 2, "errors": [1, 4]}
    assert judge("unordered", []) == {"found": 0, "missed": 2, "extra": 0, "errors": []}
    assert page.run(f"judge({{kind: 'named', ranks: null}}, [[1, 1]], {scene})") is None

    # Pairs of points of one class, at 224 px. The nearest pair would leave only one here.
    rng = np.random.default_rng(5)
    cases = [([[51, 50], [71, 50]], [[40, 50], [60, 50]])]
    cases += [rng.integers(9, 80, (2, count, 2)).tolist() for count in (1, 4, 8, 12, 20)]
    for points, truths in cases:
        boxes = [[x - 9, y - 9, x + 9, y + 9] for x, y in truths]
        found = page.run(f"judge({{kind: 'unordered', ranks: [0]}}, {points}, {boxes}, 224)")
        pairs = match_points(np.array(points), np.array(truths), 16)
        errors = [math.dist(points[p], truths[t]) for p, t in pairs]
        counts = len(pairs), len(truths) - len(pairs), len(points) - len(pairs)
        assert (found["found"], found["missed"], found["extra"]) == counts
        assert sum(found["errors"]) == pytest.approx(sum(errors))


def test_each_network_has_a_threshold_of_its_own(page):
    about = "{name: 'all', title: '', kind: 'unordered', threshold: 0.074, ranks: [0]}"
    answer = (
        "{points: [[1, 2], [3, 4], [5, 6]], confidences: [0.9, Math.fround(0.074), 0.05], ms: 1}"
    )
    page.run(f"window.all = new Network({about}, 2)")
    page.run(f"Object.assign(all, {{scene: page.scene(), answer: {answer}}})")
    try:
        assert page.run("all.visible().points") == [[1, 2], [3, 4]]
        slider = "document.querySelector('#cards article:last-child input[type=range]')"
        assert page.run(f"{slider}.nextSibling.value") == "0.07"
        page.run(f"{slider}.value = 0.5")
        page.run(f"{slider}.dispatchEvent(new Event('input'))")
        assert page.run("all.pointsShown.textContent") == "1.0, 2.0"
        assert page.run(f"{slider}.nextSibling.value") == "0.50"
        assert page.run("document.querySelectorAll('#cards input').length") == 1
    finally:
        page.run("document.querySelector('#cards article:last-child').remove()")


def test_a_failed_request_leaves_nothing_of_the_answer_before(page, at):
    cells = "[n.pointsShown, n.confidenceShown, n.errorShown, n.timeShown]"
    shown = f"page.networks().map(n => {cells}.map(c => c.textContent))"
    red = f"page.networks().map(n => {cells}.map(c => c.className))"
    answers(page)
    refuse = "async () => Response.json({error: 'too late'}, {status: 504})"
    page.run(f"(window.fetched = fetch, window.fetch = {refuse})")
    page.run("page.setRectangles([[10, 10, 40, 40]])")
    page.run("page.settled()")
    page.run("window.fetch = fetched")
    assert page.run(shown) == [["too late", "–", "–", "–"]] * 2
    assert page.run(red) == [["error", "", "", ""]] * 2
    labels = page.run("page.networks().map(n => n.canvas.getAttribute('aria-label'))")
    assert labels == ["image, no prediction"] * 2
    page.run("score(1)")
    assert page.run(red) == [[""] * 4] * 2


@pytest.mark.parametrize("solid", [False, True])
def test_pixels_are_drawn_as_in_training(page, solid):
    rng = np.random.default_rng(4)
    corners = rng.integers(0, 280, (5, 2))
    scene = np.concatenate([corners, corners + rng.integers(2, 40, (5, 2))], axis=1).clip(0, 300)
    asked = f"encodePng(drawPixels({scene.tolist()}, 300, {json.dumps(solid)}), 300)"
    # Of more than one block, in a browser that takes as few arguments as Safari.
    limited = f"""(() => {{
        const push = Array.prototype.push;
        Array.prototype.push = function(...items) {{
            if (items.length > 65536) throw new RangeError();
            return push.apply(this, items);
        }};
        try {{ return [...{asked}]; }} finally {{ Array.prototype.push = push; }}
    }})()"""
    data = np.array(page.run(limited), np.uint8)
    image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(image, render_opencv(scene[None], 300, solid)[0, ..., 0])


def test_the_page_fits_a_phone_and_takes_a_finger(page, at):
    page.resize(360, 740, scale=3, mobile=True)
    assert page.run("document.documentElement.scrollWidth") == 360
    heights = page.run("[...document.querySelectorAll('button')].map(b => b.offsetHeight)")
    assert min(heights) >= 44
    page.touch(at(10, 12), at(20, 20), at(50, 30))
    assert rectangles(page) == [[10, 12, 50, 30]]
    # A second finger changes nothing while the first drags.
    first, second = at(30, 20), at(20, 50)
    page.fingers("touchStart", first)
    page.fingers("touchStart", first, second)
    page.fingers("touchMove", first, at(40, 60))
    page.fingers("touchMove", at(35, 22))  # the second is up
    page.fingers("touchEnd")
    assert rectangles(page) == [[15, 14, 55, 32]]
    page.run("page.settled()")
    page.resize(1100, 900)


# Its end, and what it refuses.


def test_a_signal_ends_it_in_peace(served, page):
    """The browser's connections are open still."""
    served.process.send_signal(signal.SIGTERM)
    out, err = served.process.communicate(timeout=HANGS)
    assert (served.process.returncode, out, err) == (143, "", "")


def test_runs_of_one_name_and_no_run_are_refused(tmp_path):
    for name in ("a", "b"):
        folder = tmp_path / name / "run"
        folder.mkdir(parents=True)
        RunFolder(folder).claim(RunConfig(precision="float32"))
    flags = [f"--run_dir={tmp_path}/{name}/run" for name in ("a", "b")]
    done = run_without_tensorflow("rectloc_tf.serve", *flags, "--port=0")
    message = "two run folders are named run; pass one through a link with another name"
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: {flags[1]}: {message}\n"
    done = run_without_tensorflow("rectloc_tf.serve", "--port=0")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: --run_dir: missing; give a run folder")


def test_without_uvicorn_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    # Another test may have loaded it.
    monkeypatch.delitem(sys.modules, "rectloc_tf.serving.rest.server", raising=False)
    monkeypatch.delattr(rest, "server", raising=False)
    with pytest.raises(UserError, match=r"^serve needs the extra \[serve\] \(uvicorn is missing"):
        serve.serve()
