"""Animations, looked at pixel by pixel: what moves is where the numbers say it is; a video has the same pictures."""

import io
import os
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageSequence

from optviz import cloud
from optviz.experiment import RACERS_AT_MOST, Experiment, Pick, Racer, Run, run
from optviz.export import (
    cloud_shown,
    race_film,
    scheduled_race_shown,
    shown_to_gif,
    shown_to_mp4,
    to_gif,
    training_shown,
)
from optviz.export.animation import FRAME, REST, Box, Layout, _works, encoder, layout
from optviz.figures.schedules import look
from optviz.figures.theme import style
from optviz.figures.training import class_color
from optviz.optimizers import OPTIMIZERS
from optviz.training import Configuration, Net, Training, advance, begin, predict

RACE = Experiment(
    Pick("himmelblau"),
    (Racer(Pick("sgd", {"lr": 0.01})), Racer(Pick("adam", {"lr": 0.3})), Racer(Pick("newton"))),
    steps=40,
)


def opened(gif: bytes) -> list[np.ndarray]:
    pictures = ImageSequence.Iterator(Image.open(io.BytesIO(gif)))
    return [np.asarray(picture.convert("RGB")).astype(int) for picture in pictures]


def rgb(hexed: str) -> np.ndarray:
    return np.array([int(hexed[i : i + 2], 16) for i in (1, 3, 5)])


def color_of(one: Run) -> np.ndarray:
    return rgb(style(one.racer.optimizer.key).color)


def at(box: Box, x: float, y: float) -> tuple[int, int]:
    """Row and column of a point of a plot."""
    across, down = box.pixel(x, y)
    return int(down), int(across)


def main_of(place: Layout) -> Box:
    assert place.main is not None
    return place.main


def test_an_animation_ends_where_the_run_ends():
    runs = run(RACE)
    gif = to_gif(RACE, runs, frames=21)
    pictures = opened(gif)
    place = layout(race_film(RACE, runs), 640)
    assert len(pictures) == 21
    assert len(gif) < 1_000_000
    assert {picture.shape for picture in pictures} == {(place.height, 640, 3)}
    assert (pictures[0] != pictures[-1]).any()
    image = Image.open(io.BytesIO(gif))
    assert image.info["loop"] == 0
    assert [picture.info["duration"] for picture in ImageSequence.Iterator(image)] == [80] * 20 + [2000]
    for frame in (3, 20):  # every frame is two steps
        heads = [one.trajectory.theta[2 * frame] for one in runs]
        for i, (one, head) in enumerate(zip(runs, heads, strict=True)):
            covered = any(np.hypot(*(head - other)) < 0.4 for other in heads[i + 1 :])
            if not covered:
                assert np.abs(pictures[frame][at(main_of(place), *head)] - color_of(one)).max() <= 3, one.label
    assert np.ptp(runs[2].trajectory.theta, axis=0).max() > 0.1  # they do move


def test_what_leaves_the_window_leaves_the_picture():
    """SGD with a rate beyond 2/κ: nothing is drawn outside the plot, and no head waits at its border."""
    experiment = Experiment(Pick("valley"), (Racer(Pick("sgd", {"lr": 0.3})),), steps=400)
    runs = run(experiment)
    assert not np.isfinite(runs[0].trajectory.theta[-1]).all()
    first, *_, last = opened(to_gif(experiment, runs, frames=5))
    place = main_of(layout(race_film(experiment, runs), 640))
    blue = np.abs(last - color_of(runs[0])).max(axis=2) < 8
    blue[:, place.left + place.wide + 5 :] = False  # the legend
    rows, columns = np.nonzero(blue)
    assert place.top <= rows.min()
    assert rows.max() <= place.top + place.high
    assert place.left <= columns.min()
    assert (first != last).any()


@pytest.mark.parametrize(
    "asked", [{"width": 239}, {"width": 1281}, {"frames": 1}, {"frames": 121}, {"width": float("nan")}]
)
def test_an_animation_is_bounded(asked):
    (name,) = asked
    with pytest.raises(ValueError, match=f"{name} must be a whole number from"):
        to_gif(RACE, run(RACE), **asked)


def test_the_largest_animation_stays_small():
    crowd = tuple(Racer.tuned(key, "rastrigin") for key in list(OPTIMIZERS)[:RACERS_AT_MOST])
    experiment = Experiment(Pick("rastrigin"), crowd, steps=300, noise=30.0)
    gif = to_gif(experiment, run(experiment))
    assert len(gif) < 2_000_000
    assert len(opened(gif)) == 60


@pytest.mark.parametrize(
    "seen", [{"view": "3-D"}, {"view": "both"}, {"field": "arrows"}, {"field": "streamlines"}], ids=str
)
def test_a_race_is_animated_from_above_however_it_is_looked_at(seen):
    experiment = replace(RACE, **seen)
    (last,) = opened(to_gif(experiment, run(experiment), frames=2))[1:]
    place = layout(race_film(experiment, run(experiment)), 640)
    for one in run(experiment)[2:]:
        assert np.abs(last[at(main_of(place), *one.trajectory.theta[-1])] - color_of(one)).max() <= 3


# What else the stage plays -------------------------------------------------------------------------------------------

CLOUD = cloud.Cloud(
    Experiment(Pick("valley", {"kappa": 4.0}), (Racer(Pick("sgd", {"lr": 0.05})),), (-1.8, 1.0), steps=60, noise=3.0),
    runs=100,
)
MOONS = Training(
    Pick("moons", {"noise": 0.2}),
    (Configuration(Net(hidden=(8,)), Racer(Pick("adam", {"lr": 0.03}))),),
    epochs=8,
)
LINE = replace(
    MOONS,
    dataset=Pick("wave"),
    configurations=(replace(MOONS.configurations[0], net=Net(hidden=(8,), loss="squared_error")),),
)


@pytest.fixture(scope="module")
def learnt():
    return advance(MOONS, begin(MOONS), MOONS.steps)


def apart(picture: np.ndarray, color: str, row: int, column: int, near: int = 2) -> int:
    """How far the likest pixel about a place is from a colour."""
    around = picture[max(0, row - near) : row + near + 1, max(0, column - near) : column + near + 1]
    return int(np.abs(around - rgb(color)).max(axis=2).min())


def test_every_run_of_a_cloud_is_where_it_was():
    swarm = cloud.measure(CLOUD)
    shown = cloud_shown(CLOUD, swarm)
    first, *_, last = opened(shown_to_gif(shown, width=800, frames=8))
    box, color = main_of(layout(shown, 800)), style("sgd").color
    ends = swarm.theta[:, -1]
    heart = ends.mean(axis=0)
    alone = [end for end in ends if np.hypot(*(end - heart)) > 0.35]  # of the mean's own dot
    assert len(alone) > 20
    for end in alone:
        assert apart(last, color, *at(box, *end)) < 40, end
        assert apart(first, color, *at(box, *end), near=0) > 60, end
    curve, early = layout(shown, 800).curves[0], 2
    assert apart(last, color, *at(curve, swarm.steps[early], np.log10(swarm.mean[early]))) < 10


def test_a_training_shows_what_the_network_answers_and_the_loss_as_it_falls(learnt):
    shown = training_shown(MOONS, learnt, film=True)
    pictures = opened(shown_to_gif(shown, width=800, frames=9))
    place, history = layout(shown, 800), learnt.histories[0]
    box, (loss, _) = main_of(place), place.curves
    left, right, bottom, top = box.window
    xs, ys = np.meshgrid(np.linspace(left, right, 13)[1:-1], np.linspace(bottom, top, 13)[1:-1])
    grid = np.stack([xs.ravel(), ys.ravel()], axis=1)
    points = np.concatenate([part.x for part in MOONS.parts[:2]])
    free = np.abs(points[:, None] - grid[None]).max(axis=2).min(axis=0) > 0.3  # no example hides the ground
    for picture, theta in ((pictures[0], history.snapshots[0]), (pictures[-1], history.snapshots[-1])):
        answer = predict(MOONS, 0, theta, grid)
        sure = free & (np.abs(answer[:, 0] - answer[:, 1]) > 1.0) if answer.shape[1] == 2 else free
        for (x, y), each in zip(grid[sure], answer[sure], strict=True):
            row, column = at(box, x, y)
            likest = [int(np.abs(picture[row, column] - rgb(class_color(i))).sum()) for i in range(2)]
            assert int(np.argmin(likest)) == int(np.argmax(each)), (x, y)
        assert sure.sum() > 15 or picture is pictures[0]
    color = style("adam").color
    final = float(history.validation_loss[0, -1])
    assert apart(pictures[-1], color, *at(loss, MOONS.steps, np.log10(final)), near=1) < 10
    middle = pictures[4]  # half of the steps are taken: half of the line is inked, the other half pale
    moments = history.moments
    for share, inked in ((0.25, True), (0.75, False)):
        step = int(moments[np.abs(moments - share * MOONS.steps).argmin()])
        value = float(history.validation_loss[0, list(moments).index(step)])
        assert (apart(middle, color, *at(loss, step, np.log10(value)), near=3) < 10) == inked, share


def test_a_training_that_has_not_begun_is_one_picture():
    (only,) = opened(shown_to_gif(training_shown(MOONS, begin(MOONS), film=True), width=800))
    assert only.shape[1] == 800


@pytest.mark.parametrize("view", ["layers", "weights", "network", "start"])
def test_every_view_of_a_training_has_a_film(learnt, view):
    first, *_, last = opened(shown_to_gif(training_shown(replace(MOONS, view=view), learnt, film=True), frames=3))
    assert (first != last).any()


def test_a_regression_shows_its_line():
    progress = advance(LINE, begin(LINE), LINE.steps)
    shown = training_shown(LINE, progress, film=True)
    *_, last = opened(shown_to_gif(shown, width=800, frames=3))
    box = main_of(layout(shown, 800))
    left, right, bottom, top = box.window
    for x in np.linspace(left, right, 9)[1:-1]:
        y = float(predict(LINE, 0, progress.histories[0].snapshots[-1], np.array([[x]]))[0, 0])
        if bottom < y < top:
            assert apart(last, style("adam").color, *at(box, x, y)) < 40, x


def test_a_network_of_many_inputs_has_its_curves():
    training = replace(MOONS, dataset=Pick("iris"), epochs=3)
    progress = advance(training, begin(training), training.steps)
    shown = training_shown(training, progress, film=True)
    place = layout(shown, 800)
    assert place.main is None
    first, *_, last = opened(shown_to_gif(shown, width=800, frames=3))
    assert (first != last).any()
    loss = float(progress.histories[0].validation_loss[0, -1])
    assert apart(last, style("adam").color, *at(place.curves[0], training.steps, np.log10(loss)), near=1) < 10


def test_schedules_keep_their_colours_and_their_strip():
    racers = tuple(Racer(Pick("sgd", {"lr": 0.02}), {"lr": Pick(key)}) for key in ("cosine", "step_decay"))
    experiment = Experiment(Pick("valley"), racers, (-1.8, 1.0), steps=80, view="3-D")
    runs = run(experiment)
    shown = scheduled_race_shown(experiment, runs, film=True)
    *_, last = opened(shown_to_gif(shown, width=800, frames=3))
    strip, _ = layout(shown, 800).curves
    for i, one in enumerate(runs):
        assert apart(last, look(i).color, *at(strip, 40, float(one.trajectory.lr[40])), near=3) < 10


# A video -------------------------------------------------------------------------------------------------------------


def test_a_video_has_the_pictures_of_the_animation(tmp_path):
    if encoder() is None and os.environ.get("OPTVIZ_CI") != "1":
        pytest.skip("ffmpeg is not installed")
    shown = race_film(RACE, run(RACE))
    video = shown_to_mp4(shown, width=641, frames=6, link="/descent?seed=7")
    place = layout(shown, 641)
    wide, high = (side + side % 2 for side in (place.width, place.height))  # the format wants even sides
    (tmp_path / "race.mp4").write_bytes(video)
    command = ["ffmpeg", "-loglevel", "error", "-i", str(tmp_path / "race.mp4"), "-f", "rawvideo"]
    raw = subprocess.run([*command, "-pix_fmt", "rgb24", "-"], capture_output=True, check=True).stdout
    pictures = np.frombuffer(raw, np.uint8).reshape(-1, high, wide, 3).astype(int)
    assert len(pictures) == 6 + REST // FRAME
    for picture, drawn in zip(pictures, opened(shown_to_gif(shown, width=641, frames=6)), strict=False):
        assert np.abs(picture[: place.height, : place.width] - drawn).mean() < 4  # what is lost by compression
    assert np.abs(pictures[0] - pictures[5]).mean() > 0.3
    assert b"/descent?seed=7" in video
    assert video[4:8] == b"ftyp"
    assert video.index(b"moov") < video.index(b"mdat")  # it plays before the whole of it has come


@pytest.mark.parametrize(
    ("script", "said"),
    [("echo no such encoder >&2; exit 1", "no such encoder"), ("cat > /dev/null", "gave up"), ("exit 0", "gave up")],
)
def test_an_encoder_that_fails_is_an_error_that_says_so(script, said, tmp_path, monkeypatch):
    broken = tmp_path / "ffmpeg"
    broken.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    broken.chmod(0o755)
    monkeypatch.setattr("optviz.export.animation.encoder", lambda: str(broken))
    with pytest.raises(RuntimeError, match=said):
        shown_to_mp4(race_film(RACE, run(RACE)), width=240, frames=2)


def test_without_an_encoder_that_works_there_is_no_video(monkeypatch, tmp_path):
    for script in (None, "exit 1", "exit 0"):
        if script:
            (tmp_path / "ffmpeg").write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
            (tmp_path / "ffmpeg").chmod(0o755)
            _works.cache_clear()
        monkeypatch.setenv("PATH", str(tmp_path))
        assert (encoder() is not None) == (script == "exit 0")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(RuntimeError, match="needs the command ffmpeg"):
        shown_to_mp4(race_film(RACE, run(RACE)), frames=2)
