"""Trainings that go on beside the page: what a visitor does to one changes when it works, never what it computes."""

import gc
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from optviz.experiment import Pick, Racer
from optviz.training import Configuration, Net, Progress, Training, advance, begin
from optviz.ui import jobs
from optviz.ui.jobs import Glance, Job

SMALL = Training(
    Pick("moons"), (Configuration(Net(hidden=(6,)), Racer(Pick("sgd", {"lr": 0.1}))),), epochs=20, batch_size=40
)


def until(job: Job, wanted: Callable[[Glance], bool], seconds: float = 60) -> Glance:
    """The first glance that is as wanted."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        glance = job.glance()
        if wanted(glance):
            return glance
        time.sleep(0.005)
    raise AssertionError(f"it never came: {job.glance()}")


def progress(glance: Glance) -> Progress:
    assert glance.progress is not None
    return glance.progress


def weights(glance: Glance) -> np.ndarray:
    return progress(glance).states[0].theta


@pytest.fixture(scope="module")
def whole() -> Progress:
    """The same run without interruption."""
    return advance(SMALL, begin(SMALL), SMALL.steps)


def finished(glance: Glance) -> bool:
    return glance.progress is not None and glance.progress.done and not glance.running


def test_a_job_trains_to_the_last_epoch(whole):
    job = Job(SMALL)
    assert job.glance().progress is None
    job.start()
    glance = until(job, finished)
    np.testing.assert_array_equal(weights(glance), whole.states[0].theta)
    np.testing.assert_array_equal(progress(glance).histories[0].loss, whole.histories[0].loss)
    job.start()  # there is nothing left to do
    assert not job.glance().running


def test_a_look_waits_for_what_it_has_not_seen(monkeypatch):
    monkeypatch.setattr(jobs, "NEWS", 600)
    job = Job(SMALL)
    job.start()
    seen, steps = job.glance().place, []
    while job.glance().running:
        glance = job.glance(seen)
        assert glance.place != seen or not glance.running
        seen = glance.place
        steps.append(seen[1])
    assert steps == sorted(steps)
    assert steps[-1] == SMALL.steps
    assert job.glance(seen).place == seen  # nothing is coming, so it does not wait


def test_a_pause_is_news(monkeypatch):
    monkeypatch.setattr(jobs, "NEWS", 600)
    stuck, go_on = threading.Event(), threading.Event()

    def begin(training: Training) -> Progress:
        stuck.set()
        assert go_on.wait(60)
        raise RuntimeError("it is not wanted")

    monkeypatch.setattr(jobs, "begin", begin)
    job = Job(SMALL)
    job.start()
    assert stuck.wait(60)
    with ThreadPoolExecutor(1) as pool:
        looking = pool.submit(job.glance, job.glance().place)
        job.pause()
        assert not looking.result(60).running
    go_on.set()


def rest(job: Job) -> Glance:
    """The job when the slice that was under way has ended."""
    end = time.monotonic() + 30
    while job._busy and time.monotonic() < end:
        time.sleep(0.005)
    return job.glance()


def test_the_start_is_measured_before_anybody_presses_start():
    job = Job(SMALL)
    job.measure()
    glance = until(job, lambda one: one.progress is not None)
    assert progress(glance).step == 0
    assert not glance.running


def test_pausing_and_going_on_changes_nothing(whole):
    job = Job(SMALL)
    job.start()
    until(job, lambda one: one.progress is not None and one.progress.step > 2)
    job.pause()
    paused = until(job, lambda one: not one.running)
    at = progress(rest(job)).step
    time.sleep(0.2)
    assert progress(job.glance()).step == at
    assert paused.run == job.glance().run
    job.start()
    np.testing.assert_array_equal(weights(until(job, finished)), whole.states[0].theta)


def test_single_steps_and_epochs():
    job = Job(SMALL)
    job.start(1)
    assert (
        progress(until(job, lambda one: one.progress is not None and one.progress.step > 0 and not one.running)).step
        == 1
    )
    job.start(SMALL.steps_an_epoch)
    glance = until(job, lambda one: not one.running)
    assert progress(glance).step == 1 + SMALL.steps_an_epoch


def test_reset_goes_back_to_the_same_weights():
    job = Job(SMALL)
    job.start(5)
    first = until(job, lambda one: one.progress is not None and one.progress.step == 5)
    job.reset()
    assert job.glance().progress is None
    assert job.glance().run != first.run
    job.measure()
    np.testing.assert_array_equal(
        weights(until(job, lambda one: one.progress is not None)), begin(SMALL).states[0].theta
    )


def test_another_rate_goes_on_and_another_network_starts_anew():
    job = Job(SMALL)
    job.start(5)
    before = until(job, lambda one: one.progress is not None and one.progress.step == 5 and not one.running)
    one = SMALL.configurations[0]
    slower = replace(SMALL, configurations=(replace(one, racer=one.racer.but(lr=0.01)),))
    assert job.change(slower) == ()
    assert progress(job.glance()).step == 5
    job.start(5)
    after = until(job, lambda one: one.progress is not None and one.progress.step == 10)
    expected = advance(slower, progress(before), 5)
    np.testing.assert_array_equal(weights(after), expected.states[0].theta)
    deeper = replace(SMALL, configurations=(replace(one, net=Net(hidden=(6, 6))),))
    assert job.change(deeper) == ("hidden",)
    assert job.glance().progress is None


def test_a_run_that_diverges_stops_and_says_where():
    one = SMALL.configurations[0]
    wild = replace(SMALL, configurations=(replace(one, racer=one.racer.but(lr=1e200)),))
    job = Job(wild)
    job.start()
    history = progress(until(job, lambda one: one.progress is not None and not one.running)).histories[0]
    assert history.failure is not None
    assert history.failure.layer >= 1
    assert np.isfinite(history.train_loss[0, 0])  # what came before stays


def test_two_jobs_take_turns():
    long = replace(SMALL, epochs=20000)
    first, second = Job(long), Job(replace(SMALL, seed=1))
    first.start()
    until(first, lambda one: one.progress is not None and one.progress.step > 0)
    second.start()
    until(second, finished)  # it does not wait for the first to end
    glance = first.glance()
    assert glance.running
    assert not progress(glance).done
    first.pause()


@pytest.mark.parametrize(("limit", "present"), [("UNSEEN", True), ("LEFT", False)])
def test_a_job_that_nobody_looks_at_pauses(monkeypatch, limit, present):
    monkeypatch.setattr(jobs, limit, 0.05)
    job = Job(replace(SMALL, epochs=20000), lambda: present)
    job.start()
    time.sleep(1.0)
    end = time.monotonic() + 30
    while job._running and time.monotonic() < end:  # a glance would be a look
        time.sleep(0.05)
    glance = job.glance()
    assert not glance.running
    assert "nobody was looking" in glance.problem


def test_a_job_goes_with_its_visitors_session(monkeypatch):
    """Nothing else holds it once it pauses, which it does by itself."""
    monkeypatch.setattr(jobs, "LEFT", 0.05)
    job = Job(replace(SMALL, epochs=20000), lambda: False)
    job.start()
    gone, end = weakref.ref(job), time.monotonic() + 30
    del job
    while gone() is not None and time.monotonic() < end:
        time.sleep(0.05)
        gc.collect()
    assert gone() is None


def test_what_goes_wrong_is_said_and_the_next_one_works(monkeypatch, whole):
    def broken(*_):
        raise RuntimeError("no more memory")

    with monkeypatch.context() as patch:
        patch.setattr(jobs, "begin", broken)
        job = Job(SMALL)
        job.start()
        assert "no more memory" in until(job, lambda one: bool(one.problem)).problem
    job.reset()
    job.start()
    np.testing.assert_array_equal(weights(until(job, finished)), whole.states[0].theta)


def test_twenty_jobs_on_few_threads_come_equally_far():
    """Nobody's slices are longer or more frequent than another's: they queue up one behind the other."""
    long = replace(SMALL, epochs=100_000)
    crowd = [Job(replace(long, seed=i)) for i in range(20)]
    for job in crowd:
        job.start()
    for job in crowd:
        until(
            job, lambda one: one.progress is not None and one.progress.step >= 20_000
        )  # the start is little beside it
    steps = [progress(job.glance()).step for job in crowd]
    for job in crowd:
        job.pause()
    assert max(steps) <= 10 * min(steps)


def test_a_server_takes_so_many_trainings_at_one_time_and_says_so(monkeypatch):
    monkeypatch.setattr(jobs, "busy", lambda: jobs.LIMITS.jobs)
    job = Job(SMALL)
    job.start()
    glance = job.glance()
    assert not glance.running
    assert glance.problem.startswith(f"{jobs.LIMITS.jobs} trainings are running on this server")
    monkeypatch.undo()
    job.start()
    until(job, finished)
