"""Labelled images as a source: where points and pixels come to lie, and that it is repeatable."""

import dataclasses
import math

import cv2
import numpy as np
import pytest
import tensorflow as tf

from pipelines.image_headers import read_channels
from pipelines.labels.augmentation import draw_affines, draw_uniforms, move_images, move_points
from pipelines.labels.reading import read_run, split_expected, what_changed
from pipelines.resampling import letterbox
from pipelines.source import make_source
from pipelines.streams import evaluation_batches, make_batch, training_batches
from rectloc_tf.config import RunConfig
from rectloc_tf.errors import ConfigError, UserError
from rectloc_tf.heads.head import Head
from rectloc_tf.models import run_channels, run_head
from rectloc_tf.registry import HEADS
from tests.label_files import picture, write_csv, write_picture, write_project
from tests.labelled_dots import DIM_MISSING, write_dots
from tests.training import start_training

SIZE = 64


@pytest.fixture(scope="module")
def dots(tmp_path_factory):
    """A project of 24 images of 80 x 60 pixels, with a bright dot and in most a dim one."""
    return write_dots(tmp_path_factory.mktemp("dots"))


def read(data, **fields):
    """A run on labelled images, resolved, and its source."""
    values = {"arch": "xy", "image_size": SIZE, "precision": "float32", "steps": 4, **fields}
    run, files = read_run(RunConfig(source="images", data=str(data), **values))
    return run, make_source(run, files=files)


def every_image(source):
    count = len(source.files.labels)
    return {
        name: value.numpy()
        for name, value in make_batch(source, tf.range(count, dtype=tf.int64)).items()
    }


def centre_of_mass(image, background=0.0):
    """(x, y) of what is brighter than the background, origin at the corner."""
    mass = np.clip(image.astype(np.float64) - background, 0, None)
    y, x = np.mgrid[: image.shape[0], : image.shape[1]] + 0.5
    return np.array([(mass * x).sum(), (mass * y).sum()]) / mass.sum()


# What is read.


def test_all_that_follows_from_the_labels_is_filled_in(dots):
    run, source = read(dots)
    assert run.data.startswith("sha256:")
    assert len(run.data) == len("sha256:") + 32
    assert (run.keypoints, run.channels, run.split_by) == ("bright,dim", 1, "group")
    sizes = [len(source.indices(split)) for split in ("train", "validation", "test")]
    assert run.split_sizes == ",".join(map(str, sizes))
    assert run.num_train == sizes[0]
    assert source.keypoints == run.image_keypoints
    ranges = [source.indices(split) for split in ("train", "validation", "test")]
    assert [*ranges[0], *ranges[1], *ranges[2]] == [*range(sum(sizes))]
    names = [source.label(index) for index in range(sum(sizes))]
    assert len({*names}) == len(names)
    assert names[0].startswith("dots/img")


def test_a_resolved_run_needs_no_files_for_its_network(dots):
    run, _ = read(dots, arch="score_map")
    head = run_head(run)
    assert (head.keypoints.names, run_channels(run)) == (("bright", "dim"), 1)
    with pytest.raises(UserError, match="^--data=sha256:.*: give the label file that this digest"):
        make_source(run)


def test_where_files_lie_does_not_count_but_what_they_hold_does(dots, tmp_path):
    run, _ = read(dots)
    moved = write_dots(tmp_path / "elsewhere")
    assert read(moved)[0] == run
    (tmp_path / "lab").mkdir()
    changed = write_dots(tmp_path / "lab", shift=0.25)
    assert read(changed)[0].data != run.data
    image = next((tmp_path / "elsewhere").rglob("img05.png"))
    write_picture(image, picture(80, 60, seed=9, channels=1))
    assert read(moved)[0].data != run.data


def test_the_split_is_part_of_what_is_read(dots):
    runs = [read(dots, **fields)[0] for fields in ({}, {"fold": "1/3"}, {"split_by": "random"})]
    assert len({run.data for run in runs}) == 3


def test_keypoints_can_be_chosen(dots):
    run, source = read(dots, keypoints="dim")
    assert (run.keypoints, source.keypoints.num_points) == ("dim", 1)
    assert every_image(source)["present"].all()  # images without any chosen label are left out


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"keypoints": "nose"}, "--keypoints=nose: no keypoint 'nose'; there are bright, dim"),
        ({"swap": "bright:nose"}, "--swap=bright:nose: no keypoint 'nose'"),
        ({"split_sizes": "1,2,3"}, "--split_sizes=1,2,3: the labels give"),
        ({"fold": "1/3", "split_by": "random"}, "--fold=1/3: works with --split_by=group only"),
    ],
)
def test_a_setting_that_does_not_go_with_the_labels_is_refused(dots, fields, message):
    with pytest.raises(ConfigError) as caught:
        read(dots, **fields)
    assert str(caught.value).startswith(message)


def test_names_that_flags_cannot_hold_are_refused(tmp_path):
    path = write_project(tmp_path, [["1", "2"]] * 9, names=("a,b",))
    with pytest.raises(UserError, match="keypoint 'a,b': a name must not contain , or :"):
        read(path)


def test_a_damaged_image_is_refused_by_name(tmp_path):
    path = write_project(tmp_path, [["1", "2", "3", "4"]] * 9)
    image = next(tmp_path.rglob("img4.png"))
    data = bytearray(image.read_bytes())
    data[60:200] = bytes(140)
    image.write_bytes(bytes(data))
    _, source = read(path)
    with pytest.raises(UserError, match="img4.png: truncated or damaged image"):
        source.check()


def test_images_that_fill_the_memory_are_refused(dots, monkeypatch):
    _, source = read(dots)
    monkeypatch.setattr("os.sysconf", lambda name: 300 if name == "SC_PHYS_PAGES" else 512)
    with pytest.raises(UserError, match="^--image_size=64: .* images take .* GiB of memory"):
        source.check()


def test_grey_stays_grey_and_mixed_is_colour(tmp_path):
    path = write_project(tmp_path, [["1", "2", "3", "4"]] * 9)
    assert read(path)[0].channels == 3  # these are colour
    for image in tmp_path.rglob("*.png"):
        write_picture(image, picture(channels=1, seed=int(image.stem[3:])))
    assert read(path)[0].channels == 1
    write_picture(next(tmp_path.rglob("img3.png")), picture())
    run, source = read(path)
    assert (run.channels, every_image(source)["images"].shape[-1]) == (3, 3)
    grey, source = read(path, channels=1)
    assert (grey.channels, every_image(source)["images"].shape[-1]) == (1, 1)


@pytest.mark.parametrize(
    ("name", "channels", "expected"),
    [("a.png", 1, 1), ("a.png", 3, 3), ("a.png", 4, 3), ("a.jpg", 1, 1), ("a.jpg", 3, 3)],
)
def test_channels_in_headers(tmp_path, name, channels, expected):
    path = tmp_path / name
    write_picture(path, np.zeros((9, 7, channels), np.uint8))
    with open(path, "rb") as file:
        assert read_channels(file) == expected


def test_a_jpeg_of_four_colours_is_refused_by_name(tmp_path):
    path = write_project(tmp_path, [["1", "2", "3", "4"]] * 9)
    image = write_picture(tmp_path / "a.jpg")
    data = bytearray(image.read_bytes())
    place = data.index(b"\xff\xc0") + 9
    data[place] = 4
    next(tmp_path.rglob("img2.png")).write_bytes(bytes(data))
    with pytest.raises(UserError, match=r"img2.png: a JPEG in CMYK; save it in RGB or grey"):
        read(path)


def test_the_first_difference_is_named(dots):
    _, source = read(dots)
    before, now = source.files.contents(), source.files.contents()
    assert what_changed(before, now) == ""
    name = now["images"][3]["name"]
    now["images"][3]["points"]["bright"][0] += 1
    x, y = (before["images"][3]["points"]["bright"][axis] - 0.5 for axis in (0, 1))
    expected = f"{name}, bright: x {x:g}, y {y:g} there, x {x + 1:g}, y {y:g} here"
    assert what_changed(before, now) == expected
    del now["images"][3]["points"]["bright"]
    assert what_changed(before, now).endswith("there, no label here")
    now["images"][3] |= {"sha256": "0"}
    assert what_changed(before, now) == f"{name} is another image"
    del now["images"][3]
    assert what_changed(before, now) == f"{name} is no longer there"
    assert what_changed(now, before) == f"{name} is new"
    now = source.files.contents()
    now["images"][0]["split"] = "test"
    assert what_changed(before, now).endswith(" was for train and is for test")
    now = {**before, "keypoints": ["dim", "bright"]}
    assert what_changed(before, now) == "keypoints bright, dim there, dim, bright here"


def test_a_path_may_carry_the_digest_of_its_contents():
    assert split_expected("a/b@c.csv@sha256:01ab") == ("a/b@c.csv", "sha256:01ab")
    assert split_expected("a/b@c.csv") == ("a/b@c.csv", "")


# Where things come to lie.


@pytest.mark.parametrize(("width", "height"), [(640, 480), (33, 100), (50, 50), (1280, 1024)])
@pytest.mark.parametrize("size", [64, 320])
def test_the_letterbox_keeps_shapes_and_leads_back(width, height, size):
    affine = letterbox(tf.constant(height), tf.constant(width), size)
    corners = np.array([[0, 0], [width, height], [width / 2, height / 2], [0.5, 7.3]], np.float32)
    placed = affine.to_working(tf.constant(corners)).numpy()
    assert affine.scale.numpy() == pytest.approx(size / max(width, height))
    np.testing.assert_allclose(placed[2], size / 2, atol=1e-4)
    span = placed[1] - placed[0]
    np.testing.assert_allclose(span, size * np.array([width, height]) / max(width, height), 1e-6)
    np.testing.assert_allclose(affine.to_image(tf.constant(placed)), corners, atol=1e-4)


def test_points_of_files_of_several_sizes_lead_back_to_the_pixel(tmp_path):
    sizes = [(80, 60), (33, 100), (64, 64), (200, 120), (17, 9)] * 2
    rows = [["scorer", "me", "me"], ["bodyparts", "nose", "nose"], ["coords", "x", "y"]]
    rng = np.random.default_rng(3)
    for number, (width, height) in enumerate(sizes):
        write_picture(tmp_path / f"v/img{number}.png", picture(width, height, seed=number))
        x, y = rng.uniform(0, [width - 1, height - 1])
        rows.append([f"v/img{number}.png", f"{x:.3f}", f"{y:.3f}"])
    _, source = read(write_csv(tmp_path / "CollectedData.csv", rows))
    found = every_image(source)
    back = source.affine(tf.range(len(source.files.labels))).to_image(tf.constant(found["points"]))
    np.testing.assert_allclose(back, source.files.labels.points, atol=1e-4)
    longer = source.files.labels.sizes.max(axis=1)
    np.testing.assert_allclose(found["pixel_size"], longer / SIZE, rtol=1e-6)


def test_a_drawn_dot_lies_where_its_point_does(dots):
    _, source = read(dots, keypoints="bright")
    found = every_image(source)
    assert found["images"].shape[1:] == (SIZE, SIZE, 1)
    for image, (point,) in zip(found["images"], found["points"], strict=True):
        # Far above the dim dot: only the bright one is left.
        assert np.linalg.norm(centre_of_mass(image[..., 0], 170) - point) < 0.3
        assert image[:7].max() == image[-7:].max() == 0  # bars: 80 x 60 leaves 8 px each


def test_absent_points_are_masked_and_finite(dots):
    _, source = read(dots)
    found = every_image(source)
    missing = [f"dots/img{n:02d}.png" in DIM_MISSING for n in range(24)]
    absent = {source.label(i) for i in range(len(found["images"])) if not found["present"][i, 1]}
    assert absent == {name for name in DIM_MISSING if name in source.files.labels.keys}
    assert 0 < len(absent) < sum(missing) + 1
    assert found["present"][:, 0].all()
    assert np.isfinite(found["points"]).all()
    assert found["others"].shape == (len(found["images"]), 0, 2)


# Distortions.


def augmented(source, count=64, seed=5, **fields):
    """A batch of one image many times, each changed in its own way."""
    source.config = dataclasses.replace(source.config, **fields)
    batch = source.take(tf.zeros([count], tf.int64))
    words = tf.repeat(tf.constant([[seed, 3, 4]], tf.uint32), count, axis=0)
    return source.augment(batch, tf.range(count, dtype=tf.int64), words, count), batch


def test_a_distorted_dot_lies_where_its_point_does(dots):
    _, source = read(dots, keypoints="bright", image_size=96)
    moved, _ = augmented(source, rotate=40.0, zoom=0.4, shift=0.15, brightness=0.0, contrast=0.0)
    distances = []
    for image, (point,), (present,) in zip(
        moved["images"].numpy(), moved["points"].numpy(), moved["present"].numpy(), strict=True
    ):
        if present and ((point > 8) & (point < 88)).all():
            distances.append(np.linalg.norm(centre_of_mass(image[..., 0], 170) - point))
    assert len(distances) > 30
    assert max(distances) < 0.3


def test_images_are_moved_as_the_affine_says():
    image = np.zeros((1, 32, 32, 1), np.float32)
    image[0, 10, 20] = 100  # its centre is (20.5, 10.5)
    quarter = tf.constant([[[0.0, -1.0], [1.0, 0.0]]])  # (x, y) -> (-y, x)
    offset = tf.constant([[32.0, 0.0]])
    moved = move_images(tf.constant(image), quarter, offset).numpy()[0, ..., 0]
    expected = move_points(tf.constant([[[20.5, 10.5]]]), quarter, offset).numpy()[0, 0]
    np.testing.assert_allclose(expected, [21.5, 20.5], atol=1e-5)
    np.testing.assert_allclose(moved[20, 21], 100, atol=1e-2)
    np.testing.assert_allclose(np.delete(moved.ravel(), 20 * 32 + 21), 0, atol=1e-2)


def test_distortions_stay_within_their_limits_and_fill_them():
    run = RunConfig(source="images", data="sha256:0", rotate=30, zoom=0.5, shift=0.1, swap="a:b")
    words = tf.repeat(tf.constant([[1, 2, 3]], tf.uint32), 4000, axis=0)
    uniforms = draw_uniforms(tf.range(4000, dtype=tf.int64), words)
    assert 0 <= float(tf.reduce_min(uniforms)) < 0.01
    assert 0.99 < float(tf.reduce_max(uniforms)) < 1
    np.testing.assert_allclose(np.mean(uniforms, axis=0), 0.5, atol=0.03)
    correlations = np.corrcoef(uniforms.numpy().T) - np.eye(8)
    assert np.abs(correlations).max() < 0.08
    matrices, offsets, zoom, mirrored = (
        part.numpy() for part in draw_affines(run.images, uniforms, 100)
    )
    determinants = np.linalg.det(matrices)
    np.testing.assert_allclose(determinants, np.where(mirrored, -1, 1) * zoom**2, rtol=1e-4)
    assert 1 / 1.5 - 1e-6 <= zoom.min() < 0.68
    assert 1.48 < zoom.max() <= 1.5 + 1e-6
    angles = np.degrees(np.arctan2(-matrices[:, 0, 1], matrices[:, 1, 1]))
    assert 29.5 < np.abs(angles).max() <= 30 + 1e-4
    middles = matrices @ [50, 50] + offsets
    assert 9.8 < np.abs(middles - 50).max() <= 10 + 1e-4
    assert 0.45 < mirrored.mean() < 0.55


def test_without_strengths_nothing_changes(dots):
    _, source = read(dots)
    off = dict.fromkeys(("rotate", "zoom", "shift", "brightness", "contrast"), 0.0)
    moved, batch = augmented(source, **off)
    np.testing.assert_array_equal(moved["images"], batch["images"])
    np.testing.assert_allclose(moved["points"], batch["points"], atol=1e-4)
    np.testing.assert_array_equal(moved["present"], batch["present"])


def test_light_changes_the_image_and_not_the_bars(dots):
    _, source = read(dots)
    off = {"rotate": 0.0, "zoom": 0.0, "shift": 0.0}
    moved, batch = augmented(source, brightness=0.3, contrast=0.0, **off)
    images, before = moved["images"].numpy()[..., 0], batch["images"].numpy()[..., 0]
    assert images[:, :8].max() == images[:, -8:].max() == 0
    corner = images[:, 10, 2].astype(int) - before[:, 10, 2]
    assert corner.min() < -20
    assert 60 < corner.max() <= 77  # 0.3 of 255
    steeper, _ = augmented(source, brightness=0.0, contrast=0.5, **off)
    spread = steeper["images"].numpy()[:, 10:50].astype(float).std(axis=(1, 2, 3))
    ratio = spread / before[:, 10:50].std(axis=(1, 2))
    assert 0.6 < ratio.min() < 0.75
    assert 1.3 < ratio.max() <= 1.55


def test_points_that_leave_the_image_are_absent(dots):
    _, source = read(dots)
    moved, batch = augmented(source, shift=0.5, rotate=90.0)
    points, present = moved["points"].numpy(), moved["present"].numpy()
    inside = ((points >= 0) & (points <= SIZE)).all(axis=-1)
    np.testing.assert_array_equal(present, batch["present"].numpy() & inside)
    assert 0 < present.sum() < batch["present"].numpy().sum()
    assert np.isfinite(points).all()


def test_mirrored_images_exchange_the_pairs(dots):
    _, source = read(dots, swap="bright:dim")
    off = dict.fromkeys(("rotate", "zoom", "shift", "brightness", "contrast"), 0.0)
    moved, batch = augmented(source, **off)
    points, before = moved["points"].numpy(), batch["points"].numpy()
    mirrored = np.abs(points - before).max(axis=(1, 2)) > 1e-3
    assert 20 < mirrored.sum() < 44
    expected = before[:, ::-1].copy()
    expected[..., 0] = SIZE - expected[..., 0]
    np.testing.assert_allclose(points[mirrored], expected[mirrored], atol=1e-3)
    np.testing.assert_array_equal(
        moved["present"].numpy()[mirrored], batch["present"].numpy()[mirrored, ::-1]
    )
    images, plain = moved["images"].numpy(), batch["images"].numpy()
    np.testing.assert_array_equal(images[mirrored], plain[mirrored, :, ::-1])


def test_without_pairs_nothing_is_mirrored(dots):
    _, source = read(dots)
    off = dict.fromkeys(("rotate", "zoom", "shift", "brightness", "contrast"), 0.0)
    moved, batch = augmented(source, **off)
    np.testing.assert_allclose(moved["points"], batch["points"], atol=1e-4)


# Batches.


@pytest.mark.parametrize("batch_size", [5, 64])
def test_the_batch_of_a_step_is_a_function_of_seed_and_step(dots, batch_size):
    run, source = read(dots, batch_size=batch_size)
    again = read(dots, batch_size=batch_size)[1]
    whole = [{n: v.numpy() for n, v in batch.items()} for batch in training_batches(run, source)]
    resumed = [*training_batches(run, again, start_step=2)]
    assert (len(whole), len(resumed)) == (4, 2)
    for expected, found in zip(whole[2:], resumed, strict=True):
        for name, value in expected.items():
            np.testing.assert_array_equal(found[name], value, err_msg=name)
    assert not np.array_equal(whole[0]["images"], whole[1]["images"])
    other = next(iter(training_batches(dataclasses.replace(run, seed=1), source)))
    assert not np.array_equal(other["images"], whole[0]["images"])


def test_a_batch_larger_than_the_training_set_holds_every_image_as_often(dots):
    run, source = read(dots, batch_size=64)
    batch = next(iter(training_batches(run, source)))
    seen = np.bincount(batch["index"].numpy(), minlength=run.num_train)
    assert len(seen) == run.num_train < 64
    assert {*seen} <= {64 // run.num_train, -(-64 // run.num_train)}
    first, second = np.flatnonzero(batch["index"].numpy() == 0)[:2]
    assert not np.array_equal(batch["images"][first], batch["images"][second])


def test_without_augmentation_images_are_as_they_are_measured(dots):
    run, source = read(dots, augment=False, batch_size=7)
    batch = next(iter(training_batches(run, source)))
    plain = make_batch(source, batch["index"])
    for name in ("images", "points", "present"):
        np.testing.assert_array_equal(batch[name], plain[name])
    measured = next(iter(evaluation_batches(source, source.indices("train"), 50)))
    assert int(tf.reduce_sum(tf.cast(measured["valid"], tf.int32))) == run.num_train


# Heads.


def head_of(arch, keypoints=("bright", "dim")) -> Head:
    names = ",".join(keypoints)
    run = RunConfig(arch=arch, source="images", data="sha256:0", keypoints=names, image_size=SIZE)
    return run_head(run)


@pytest.mark.parametrize("arch", HEADS)
def test_a_batch_without_labels_has_loss_zero_and_no_gradient(arch):
    head = head_of(arch)
    run = RunConfig(
        arch=arch, source="images", data="sha256:0", keypoints="bright,dim", channels=1,
        split_sizes="8,1,1", image_size=SIZE, batch_size=2, precision="float32",
    )  # fmt: skip

    class Nothing:
        keypoints, channels = run.image_keypoints, 1

    training = start_training(run, Nothing())
    points = tf.constant([[[3.0, 4.0], [0.0, 0.0]], [[-9.0, 80.0], [0.0, 0.0]]])
    batch = {
        "images": tf.zeros([2, SIZE, SIZE, 1], tf.uint8),
        "points": points,
        "present": tf.zeros([2, 2], tf.bool),
    }
    before = [weights.copy() for weights in training.state.model.get_weights()]
    losses = [float(value) for value in training.step(batch)]
    assert losses[0] == 0.0
    assert all(math.isfinite(value) for value in losses)
    assert head.name == arch
    trainable = {weights.path for weights in training.state.model.trainable_weights}
    for weights, old in zip(training.state.model.weights, before, strict=True):
        if weights.path in trainable:
            np.testing.assert_array_equal(weights.numpy(), old, err_msg=weights.path)


@pytest.mark.parametrize("arch", HEADS)
def test_a_missing_label_does_not_matter(arch):
    head = head_of(arch)
    present = tf.constant([[True, False]])
    points = [tf.constant([[[20.0, 30.0], place]]) for place in ([0.0, 0.0], [33.0, 9.0])]
    targets = [head.targets(value, present) for value in points]
    shapes = {name: value.shape for name, value in targets[0].items()}
    assert shapes == {name: value.shape for name, value in targets[1].items()}
    np.testing.assert_array_equal(targets[0]["mask"], [[1, 0]])


def test_16_bit_files_are_scaled(tmp_path):
    path = write_project(tmp_path, [["1", "2", "3", "4"]] * 9)
    deep = (picture(channels=1).astype(np.uint16) << 4) + 7  # 12 bits
    assert cv2.imwrite(str(next(tmp_path.rglob("img0.png"))), deep)
    _, source = read(path)
    labels = source.files.labels
    (place,) = (i for i in range(len(labels)) if labels.keys[i].endswith("img0.png"))
    image = every_image(source)["images"][place]
    assert 150 < image.max() <= 255
