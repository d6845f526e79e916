"""The panels of the training laboratory: data, configurations, and the run that goes on beside them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import streamlit as st

from optviz.csv_table import BYTES_AT_MOST, COLUMNS_AT_MOST, ROWS_AT_MOST, read_csv
from optviz.datasets import DATASETS
from optviz.descent import schedulable
from optviz.experiment import SEED, Pick, Racer
from optviz.figures.theme import style
from optviz.figures.training import earliest_stop, names, training_record
from optviz.networks import ACTIVATIONS, INITS, LOSSES
from optviz.optimizers import OPTIMIZERS
from optviz.rate_claims import ON_NETWORKS
from optviz.schedules import SCHEDULES
from optviz.spec import Entry, Param, number
from optviz.training import (
    AUGMENT,
    BATCH_SIZE,
    CONFIGURATIONS_AT_MOST,
    CURVES,
    DROPOUT,
    DROPOUT_FORM,
    EPOCHS,
    LOOKS,
    MAKE,
    QUANTITY,
    SEEDS,
    STANDARDIZE,
    TEST,
    TREAT,
    VALIDATION,
    VIEW,
    Configuration,
    Net,
    Own,
    Progress,
    Training,
)
from optviz.training_link import read_hidden
from optviz.tuning import tuned_lr_network
from optviz.ui.controls import control, folded, show
from optviz.ui.desk import Desk
from optviz.ui.jobs import Glance, Job, busy, job_of_visitor
from optviz.ui.lesson import measured_or_stopped, say_verdict
from optviz.ui.stage import Row, Table, stage
from optviz.ui.turns import aside

UPLOAD = "="  # stands in the list of data sets for a visitor's own table
PATIENCE = 2.5  # s that an answer waits for news. Pictures without any would take the processor from compiling
TICK = 40  # ms between two looks at a run that goes on, if it is the only one

# What the page opens with. Not among the presets, because the other pages need no networks to open.
MOONS = Training(
    Pick("moons", {"noise": 0.2}),
    (
        Configuration(Net(hidden=(16, 16)), Racer(Pick("sgd", {"lr": 0.1, "momentum": 0.9}))),
        Configuration(Net(hidden=(16, 16)), Racer(Pick("adam", {"lr": 0.01}))),
    ),
    epochs=60,
)

Change = Callable[[Training, Any], Training]


def job_of(desk: Desk[Training]) -> Job:
    """The visitor's run, brought up to what lies on the desk."""
    job = job_of_visitor(desk.page, desk.experiment)
    reset = job.change(desk.experiment)
    if reset:
        st.session_state[desk.key("reset-by")] = reset
    return job


# Controls ------------------------------------------------------------------------------------------------------------


def data_panel(desk: Desk[Training]) -> None:
    """Choose the data, how they are split, and what a step sees of them."""
    training = desk.experiment
    key, own = desk.key("dataset"), isinstance(training.dataset, Own)
    uploading = own or st.session_state.get(desk.key("uploading"), False)
    show(key, training.dataset.key if isinstance(training.dataset, Pick) and not uploading else UPLOAD)
    st.selectbox(
        "Data",
        [*DATASETS, UPLOAD],
        format_func=lambda name: "Your own table (CSV)" if name == UPLOAD else f"{DATASETS[name].title}",
        key=key,
        help="What is learnt from. Changing it starts the run anew.",
        on_change=_chose_data(desk, key),
    )
    if uploading:
        _upload(desk)
    if isinstance(training.dataset, Pick):
        entry = DATASETS[training.dataset.key]
        st.caption(f"{entry.summary} *({entry.task})*")
        values = entry.complete(dict(training.dataset.values))
        for param in entry.params:
            change = _data_value(param)
            _field(desk, param, values[param.name], f"{entry.key}-{param.name}", change)
    for param in (BATCH_SIZE, EPOCHS):
        _setting(desk, param)
    with folded("Split, seeds, about the data", desk.key("split")) as opened:
        if opened:
            for param in (SEEDS, SEED, VALIDATION, TEST, STANDARDIZE, *(AUGMENT.values() if training.image else ())):
                _setting(desk, param)
            parts = training.parts
            st.caption(
                f"{len(parts.train.y)} examples to train on, {len(parts.validation.y)} to validate, "
                f"{len(parts.test.y)} to test."
            )
            if isinstance(training.dataset, Pick):
                _card(DATASETS[training.dataset.key])


def _chose_data(desk: Desk[Training], key: str) -> Callable[[], None]:
    def chose() -> None:
        name = st.session_state[key]
        st.session_state[desk.key("uploading")] = name == UPLOAD
        if name != UPLOAD:
            desk.callback(lambda old, _: _on_data(old, Pick(name), DATASETS[name].task))()

    return chose


def _upload(desk: Desk[Training]) -> None:
    """A visitor's own table. It stays in this session, and a link cannot carry it."""
    key = desk.key("file")

    def read(old: Training, file: Any) -> Training:
        if file is None:
            return old
        table = read_csv(file.getvalue(), name=file.name)
        return _on_data(old, Own(table, name=file.name), table.task)

    st.file_uploader(
        "A table of numbers with a header, the target in the last column",
        type=["csv", "txt", "tsv"],
        key=key,
        help=f"At most {BYTES_AT_MOST / 1e6:g} MB, {ROWS_AT_MOST:,} rows and {COLUMNS_AT_MOST} columns. Words or few "
        "whole numbers in the last column make classes, other numbers a regression. It stays on this server as long as "
        "your visit, and no link carries it.",
        on_change=desk.callback(read, key),
    )
    if isinstance(desk.experiment.dataset, Own):
        table = desk.experiment.dataset.table
        what = f"{len(table.classes)} classes" if table.classes else "a regression"
        st.caption(f"{len(table.y)} rows, {table.x.shape[1]} columns to learn from, {what}.")


def _on_data(old: Training, dataset: Pick | Own, task: str) -> Training:
    """Other data, with a loss that its task allows."""
    loss = "cross_entropy" if task == "classification" else "squared_error"
    fitting = [
        replace(one, net=replace(one.net, loss=loss))
        if (one.net.loss == "cross_entropy") != (loss == "cross_entropy")
        else one
        for one in old.configurations
    ]
    return replace(old, dataset=dataset, configurations=tuple(fitting))


def _data_value(param: Param) -> Change:
    def change(old: Training, value: Any) -> Training:
        assert isinstance(old.dataset, Pick)
        return replace(old, dataset=old.dataset.but(**{param.name: value}))

    return change


def configurations_panel(desk: Desk[Training]) -> None:
    """Choose a configuration and set its network, its optimizer and what is done against overfitting."""
    training = desk.experiment
    index = chosen(desk)
    key, titles = desk.key("configurations"), names(training)
    show(key, index)

    def picked() -> None:
        if st.session_state[key] is not None:  # pressing the chosen one again would choose nobody
            st.session_state[desk.key("chosen")] = st.session_state[key]

    st.pills(
        "Configurations",
        range(len(titles)),
        format_func=lambda i: f":{style(training.configurations[i].racer.optimizer.key).hue}[●] {titles[i]}",
        key=key,
        wrap=True,
        on_change=picked,
        help=f"Up to {CONFIGURATIONS_AT_MOST} are trained together on the same batches. Choose one to see and move its "
        "sliders.",
    )
    with st.container(horizontal=True, gap="small"):
        full = len(titles) >= CONFIGURATIONS_AT_MOST
        _button(
            desk,
            "Duplicate",
            lambda old: _with(old, len(old.configurations), old.configurations[index]),
            "Train it beside itself with other settings.",
            disabled=full,
            choose=len(titles),
        )
        _button(
            desk,
            "Remove",
            lambda old: replace(old, configurations=_without(old.configurations, index)),
            "Take this configuration out.",
            disabled=len(titles) == 1,
        )
    one = training.configurations[index]
    _network(desk, index, one.net)
    _optimizer(desk, index, one.racer)
    with folded("Against overfitting, and more", desk.key("treatment")) as opened:
        if opened:
            _treatment(desk, index, one.net)


def chosen(desk: Desk[Training]) -> int:
    """Which configuration the sliders belong to."""
    return min(st.session_state.get(desk.key("chosen"), 0), len(desk.experiment.configurations) - 1)


def _network(desk: Desk[Training], index: int, net: Net) -> None:
    key = desk.key(f"{index}-hidden")
    show(key, ", ".join(map(str, net.hidden)))
    st.text_input(
        "Hidden layers",
        key=key,
        max_chars=40,
        placeholder="none: a linear model",
        help="Units of each hidden layer from the inputs on, such as 16, 16: up to six layers of up to 256. "
        "Changing what the network is made of starts the run anew.",
        on_change=desk.callback(_of_net(index, lambda text: {"hidden": read_hidden(text)}), key),
    )
    titles = {"activation": ACTIVATIONS, "init": INITS, "loss": LOSSES}
    for name in ("activation", "init", "normalization", "loss"):
        own, param = desk.key(f"{index}-{name}"), MAKE[name]
        show(own, getattr(net, name))
        st.selectbox(
            param.label,
            param.options,
            format_func=lambda word, name=name: titles[name][word].title if name in titles else word,
            key=own,
            help=param.help,
            on_change=desk.callback(_of_net(index, _one_value(name)), own),
        )
    if INITS[net.init].params:
        _net_field(desk, index, MAKE["init_scale"], net.init_scale)


def _one_value(name: str) -> Callable[[Any], dict[str, Any]]:
    # another initialization has another scale of its own
    return lambda value: {name: value, **({"init_scale": None} if name == "init" else {})}


def _optimizer(desk: Desk[Training], index: int, racer: Racer) -> None:
    key = desk.key(f"{index}-optimizer")
    show(key, racer.optimizer.key)
    st.selectbox(
        "Optimizer",
        [name for name, entry in OPTIMIZERS.items() if entry.family != "Second order"],
        format_func=lambda name: f"{OPTIMIZERS[name].title} · {OPTIMIZERS[name].family}",
        key=key,
        help="The rule that moves the weights. Changing it keeps the weights; it starts with the rate that did best on "
        "the digits.",
        on_change=desk.callback(
            _of_racer(index, lambda old, name: Racer(Pick(name, {"lr": tuned_lr_network(name)}))), key
        ),
    )
    for param in racer.entry.params:
        _field(
            desk,
            param,
            racer.values[param.name],
            f"{index}-{racer.optimizer.key}-{param.name}",
            _of_racer(index, lambda old, value, name=param.name: old.but(**{name: value})),
        )
    _schedule(desk, index, racer)


def _schedule(desk: Desk[Training], index: int, racer: Racer) -> None:
    used = ", ".join(SCHEDULES[pick.key].title for _, pick in racer.schedules)
    with folded(f"Schedule: {used}" if used else "Schedule", desk.key("schedule")) as opened:
        if not opened:
            return
        target_key = desk.key(f"{index}-{racer.optimizer.key}-target")
        taken = [name for name, _ in racer.schedules]
        targets = schedulable(racer.entry)
        target = st.selectbox(
            "Acts on",
            targets,
            index=targets.index(taken[0]) if taken else 0,
            format_func=lambda name: racer.entry.param[name].label,
            key=target_key,
            help="Which hyperparameter follows the schedule.",
        )
        pick = dict(racer.schedules).get(target, Pick("constant"))

        def put(old: Racer, new: Pick) -> Racer:
            return replace(old, schedules={**dict(old.schedules), target: new})

        key = desk.key(f"{index}-{racer.optimizer.key}-{target}-by")
        show(key, pick.key)
        st.selectbox(
            "Schedule",
            list(SCHEDULES),
            format_func=lambda name: SCHEDULES[name].title,
            key=key,
            help="How the value changes over the planned epochs; the slider above sets the highest value it reaches.",
            on_change=desk.callback(_of_racer(index, lambda old, name: put(old, Pick(name))), key),
        )
        entry = SCHEDULES[pick.key]
        st.caption(entry.summary)
        values = entry.complete(dict(pick.values))
        for param in entry.params if pick != Pick("constant") else ():
            _field(
                desk,
                param,
                values[param.name],
                f"{index}-{racer.optimizer.key}-{target}-{pick.key}-{param.name}",
                _of_racer(index, lambda old, value, name=param.name: put(old, pick.but(**{name: value}))),
            )


def _treatment(desk: Desk[Training], index: int, net: Net) -> None:
    if not isinstance(net.dropout, tuple):
        _net_field(desk, index, DROPOUT, net.dropout)
    key = desk.key(f"{index}-by-layer")
    show(key, isinstance(net.dropout, tuple))
    if len(net.hidden) > 1:
        st.toggle(
            "Another rate for each layer",
            key=key,
            help="Dropout by layer instead of one rate for the whole network.",
            on_change=desk.callback(_of_net(index, lambda on: {"dropout": net.rates if on else net.rates[0]}), key),
        )
    for layer, rate in enumerate(net.rates if isinstance(net.dropout, tuple) else ()):
        param = DROPOUT.but(name=f"dropout-{layer}", title=f"dropout, layer {layer + 1}")
        rates = net.rates
        _field(
            desk,
            param,
            rate,
            f"{index}-{param.name}",
            _of_net(index, lambda value, at=layer, all_=rates: {"dropout": (*all_[:at], value, *all_[at + 1 :])}),
        )
    if any(net.rates):
        own = desk.key(f"{index}-dropout_form")
        change = desk.callback(_of_net(index, _one_value("dropout_form")), own)
        control(DROPOUT_FORM, net.dropout_form, own, change)
    for param in TREAT.values():
        if (param.name == "delta" and net.loss != "huber") or (
            param.name == "label_smoothing" and desk.experiment.task != "classification"
        ):
            continue
        _net_field(desk, index, param, getattr(net, param.name))


def _net_field(desk: Desk[Training], index: int, param: Param, value: Any) -> None:
    _field(desk, param, value, f"{index}-{param.name}", _of_net(index, _one_value(param.name)))


def _setting(desk: Desk[Training], param: Param) -> None:
    value = getattr(desk.experiment, param.name)
    _field(desk, param, value, param.name, lambda old, new: replace(old, **{param.name: new}))


def _field(desk: Desk[Training], param: Param, value: Any, name: str, change: Change) -> None:
    key = desk.key(name)
    control(param, value, key, desk.callback(change, key))


def _of_net(index: int, changes: Callable[[Any], dict[str, Any]]) -> Change:
    def change(old: Training, value: Any) -> Training:
        one = old.configurations[index]
        return _with(old, index, replace(one, net=replace(one.net, **changes(value))))

    return change


def _of_racer(index: int, changed: Callable[[Racer, Any], Racer]) -> Change:
    def change(old: Training, value: Any) -> Training:
        one = old.configurations[index]
        return _with(old, index, replace(one, racer=changed(one.racer, value)))

    return change


def _with(old: Training, index: int, one: Configuration) -> Training:
    before, after = old.configurations[:index], old.configurations[index + 1 :]
    return replace(old, configurations=(*before, one, *after))


def _without(configurations: tuple, index: int) -> tuple:
    return (*configurations[:index], *configurations[index + 1 :])


def _button(
    desk: Desk[Training],
    label: str,
    change: Callable[[Training], Training],
    help: str,
    *,
    disabled: bool = False,
    choose: int | None = None,
) -> None:
    used = desk.callback(lambda old, _: change(old))

    def pressed() -> None:
        used()
        if choose is not None:
            st.session_state[desk.key("chosen")] = choose

    st.button(label, key=desk.key(f"button-{label}"), help=help, disabled=disabled, on_click=pressed)


def _card(entry: Entry) -> None:
    if entry.formula:
        st.latex(entry.formula)
    if entry.note:
        st.markdown(entry.note)
    st.markdown(f"[{entry.source}]({entry.source.url})" if entry.source.url else str(entry.source))


# The run -------------------------------------------------------------------------------------------------------------


def run_panel(desk: Desk[Training], job: Job) -> None:
    """Start, pause, one step, one epoch, back to the same initial weights; and which view is shown."""
    training = desk.experiment
    buttons = {
        "Start": (":material/play_arrow:", job.start, "Train, or go on training, to the last epoch."),
        "Pause": (":material/pause:", job.pause, "Stop where it is; Start goes on as if nothing had happened."),
        "One step": (":material/skip_next:", lambda: job.start(1), "Take one batch, and look."),
        "One epoch": (
            ":material/fast_forward:",
            lambda: job.start(training.steps_an_epoch),
            "Go through all training examples once.",
        ),
        "Same weights": (
            ":material/restart_alt:",
            job.reset,
            "Back to the same initial weights: nothing else changes.",
        ),
    }
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        for label, (icon, action, help) in buttons.items():
            kind = "primary" if label == "Start" else "secondary"
            st.button(label, icon=icon, key=desk.key(label), help=help, on_click=action, type=kind)
        st.space("stretch")
        _segments(desk, VIEW)
        if training.view == "layers":
            _segments(desk, QUANTITY)
        else:
            with folded("Curves", desk.key("curves"), popover=True) as opened:
                if opened:
                    _curves(desk)


def _segments(desk: Desk[Training], param: Param) -> None:
    key, value = desk.key(param.name), getattr(desk.experiment, param.name)
    show(key, value)
    change = desk.callback(lambda old, new: replace(old, **{param.name: new or value}), key)  # one is always chosen
    st.segmented_control(param.label, param.options, key=key, help=param.help, on_change=change)


def _curves(desk: Desk[Training]) -> None:
    for name, (title, help, _) in CURVES.items():
        key = desk.key(f"curve-{name}")
        show(key, name in desk.experiment.curves)

        def change(old: Training, on: bool, name: str = name) -> Training:
            wanted = {*old.curves, name} if on else {*old.curves} - {name}
            return replace(old, curves=tuple(other for other in CURVES if other in wanted))

        st.checkbox(title, key=key, help=help, on_change=desk.callback(change, key))


def live_panel(desk: Desk[Training], job: Job) -> Glance:
    """How far the run has come, in pictures and numbers. While it goes on, the stage asks for more. Returns what it
    drew."""
    job.measure()
    glance = news_of(desk, job)
    status(desk, glance)
    if glance.progress is None:
        return glance
    record = training_record(
        glance.training,
        glance.progress,
        run=glance.run,
        chosen=chosen(desk),
        live=TICK * max(1, busy()) if glance.running else None,  # a class looks less often, and the server keeps up
        memo=glance.memo,
    )
    stage(record, key=desk.key("stage"), table=_summary(glance.training, glance.progress), tick=asked(desk))
    return glance


def news_of(desk: Desk, job: Job) -> Glance:
    """The run as it stands. If it was the stage that asked for more, it is answered when there is more; in a class,
    whose runs wait for one another, at once."""
    waits = st.session_state.pop(desk.key("asked"), False) and busy() == 1
    until = time.monotonic() + (PATIENCE if waits else 0)
    glance = job.glance()
    # Reading the session's state is where Streamlit breaks a script off, if the visitor has moved something meanwhile.
    while glance.running and glance.place == st.session_state.get(desk.key("looked")) and time.monotonic() < until:
        with aside():
            glance = job.glance(glance.place)
    st.session_state[desk.key("looked")] = glance.place
    return glance


def asked(desk: Desk) -> Callable[[], None]:
    """What happens when the stage asks for more: the fragment runs again, and `news_of` knows why."""

    def ticked() -> None:
        st.session_state[desk.key("asked")] = True

    return ticked


def claim_verdict(desk: Desk, glance: Glance) -> None:
    """The verdict on the open claim, by the run as it is drawn. A run that goes on is not measured: that could take
    longer than a tick."""
    claim = ON_NETWORKS.get(desk.preset or "")
    if claim is None or glance.progress is None:
        return
    if glance.running:
        st.markdown(":material/hourglass_empty: It is measured when the run pauses or ends.")
        return
    plain = replace(glance.training, **{name: param.default for name, param in LOOKS.items()}, curves=())
    asked = (claim.key, plain, glance.progress.step)
    known = glance.memo.get("claim")
    if known is None or known[0] != asked:
        progress = glance.progress
        measured, whole = measured_or_stopped(
            desk, asked, lambda heard: claim.measure(glance.training, progress, heard)
        )
        known = asked, measured
        if whole:
            glance.memo["claim"] = known
    say_verdict(desk, known[1])


def status(desk: Desk[Training], glance: Glance, titles: Sequence[str] = ()) -> None:
    """How far the run has come, and what went wrong. `titles` are what the configurations are called, if not by
    `names`."""
    reset = st.session_state.pop(desk.key("reset-by"), None)
    progress, training = glance.progress, glance.training
    step = progress.step if progress else 0
    share = min(1.0, step / training.steps)
    words = f"Epoch {step / training.steps_an_epoch:.4g} of {training.epochs}, step {step} of {training.steps}"
    if glance.seconds_left is not None:
        words += f" · about {_duration(glance.seconds_left)} left"
    elif step >= training.steps:
        words += " · done"
    elif step:
        words += " · paused"
    if reset:
        words += f" · started anew, because {' and '.join(name.replace('_', ' ') for name in reset)} changed"
    st.progress(share, text=words)
    if glance.problem:
        st.warning(glance.problem, icon=":material/error_outline:")
    for name, history in zip(titles or names(training), progress.histories if progress else (), strict=False):
        if history.failure:
            at = history.failure
            way = "on the way to the loss" if at.way == "forward" else "of the gradient"
            st.error(
                f"**{name} diverged** at step {at.step}: numbers {way} stopped being finite first in layer {at.layer}"
                f"{f' (seed {at.seed})' if training.seeds > 1 else ''}. What came before stays. A smaller learning "
                "rate, gradient clipping, or smaller initial weights help; *Same weights* starts over.",
                icon=":material/crisis_alert:",
            )


def _duration(seconds: float) -> str:
    return f"{max(1, round(seconds))} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def _summary(training: Training, progress: Progress) -> Table:
    """The configurations at the newest moment."""
    classes, rows = training.task == "classification", []
    parts = ("train", "validation", "test")
    for name, one, history in zip(names(training), training.configurations, progress.histories, strict=True):
        stop = earliest_stop(history)
        cells = [name, *(_median(getattr(history, f"{part}_loss")) for part in parts)]
        cells += [_median(getattr(history, f"{part}_accuracy"), share=True) for part in parts if classes]
        cells.append(f"step {stop[0]}, {number(stop[1])}" if stop else "–")
        rows.append(Row(style(one.racer.optimizer.key).color, cells))
    said = ("training", "validation", "test")
    head = ["Configuration", *(f"Loss, {part}" for part in said), *(f"Accuracy, {part}" for part in said if classes)]
    return Table([*head, "Lowest validation loss"], rows)


def _median(values: Any, share: bool = False) -> str:
    middle = float(np.median(values[:, -1]))
    if not np.isfinite(middle):
        return "–" if np.isnan(middle) else "∞"
    return f"{middle:.1%}" if share else number(middle)
