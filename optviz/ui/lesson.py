"""A claim of the course beside what shows it, a race or a training: its sentence, with the number that was measured."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping
from typing import TypeVar

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from optviz.claims import Claim
from optviz.experiment import Experiment
from optviz.once import once
from optviz.ui.controls import folded
from optviz.ui.desk import Desk
from optviz.ui.tiles import AT_ONCE, let_in
from optviz.verdict import Card, Heard, Measured

C = TypeVar("C", bound=Card)


def claims_menu(desk: Desk, claims: Mapping[str, Card]) -> None:
    """The list of claims: each opens the experiment that shows it."""
    with st.popover("Claims", icon=":material/school:", width="content"):
        st.caption("What the course says, each with an experiment that measures it.")
        for claim in claims.values():
            st.page_link(_page(desk), label=f"**{claim.key}** {claim.title}", query_params={"claim": claim.key})


def claim_panel(desk: Desk, claims: Mapping[str, C], measure: Callable[[C], Measured | None] | None = None) -> None:
    """The open claim, if there is one, with its verdict by `measure`; without that, the verdict is shown elsewhere."""
    claim = claims.get(desk.preset or "")
    if claim is None:
        return
    measured = measure(claim) if measure else None
    with st.container(border=True, key=desk.key("claim"), gap="small"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{claim.key} · {claim.title}**")
            st.space("stretch")
            _neighbours(desk, claims, claim)
            with folded("When it holds, what to watch", desk.key("when"), popover=True, width="content") as opened:
                if opened:
                    sources = (f"[{source}]({source.url})" if source.url else str(source) for source in claim.sources)
                    words = (f"**When it holds.** {claim.condition}", f"**Watch.** {claim.watch}", *sources)
                    st.markdown("\n\n".join(words))
            st.button(
                "Close",
                key=desk.key("close-claim"),
                help="Keep what is on the desk, without the claim.",
                on_click=desk.leave,
            )
        st.markdown(f"{claim.says}\n\n{verdict(measured)}" if measure else claim.says)


def say_verdict(desk: Desk, measured: Measured | None) -> None:
    """The verdict, where it stands apart from its claim. Whoever presents may hide both, for all to predict first."""
    with st.container(key=desk.key("verdict")):
        st.markdown(verdict(measured))


def measured_or_stopped(
    desk: Desk, asked: Hashable, measure: Callable[[Heard], Measured | None]
) -> tuple[Measured | None, bool]:
    """What `measure` gives of what is `asked`, and whether that is all: the visitor may have stopped it.

    Measuring may run networks again, which takes seconds. Then a row says so, with a button that breaks it off; and so
    does whatever else the visitor moves. What was found by then is lost.
    """
    key = desk.key("unmeasured")
    if st.session_state.get(key) == asked:
        st.button("Measure", icon=":material/play_arrow:", key=f"{key}-on", on_click=_stop, args=(key, None),
                  help="Measure the claim on what is shown.")  # fmt: skip
        return Measured({}, None, "Stopped before it was measured."), False
    place, words, began, said = st.empty(), None, time.monotonic(), 0.0

    def heard() -> None:
        nonlocal words, said
        now = time.monotonic() - began
        if now - said > AT_ONCE:
            words, said = words or _row(place, key, asked), now
            words.caption(f"Measuring, for {now:.0f} s so far.")
        let_in()

    measured = measure(heard)
    place.empty()
    return measured, True


def _row(place: DeltaGenerator, key: str, asked: Hashable) -> DeltaGenerator:
    """A row with a Stop button; gives the place for words."""
    with place.container(horizontal=True, vertical_alignment="center"):
        st.button("Stop", icon=":material/stop:", key=f"{key}-stop", on_click=_stop, args=(key, asked),
                  help="Do not measure the claim on what is shown.")  # fmt: skip
        return st.empty()


def _stop(key: str, asked: Hashable) -> None:
    st.session_state[key] = asked


def verdict(measured: Measured | None) -> str:
    """What was measured, as a line of Markdown."""
    if measured is None:
        return (
            ":material/help: What is on the desk lacks what the claim is about, so it is not measured here. "
            "*Reset* brings its own experiment back."
        )
    if measured.holds is None:
        return f":material/hourglass_empty: {measured.sentence}"
    icon = ":green[:material/check_circle:]" if measured.holds else ":red[:material/cancel:]"
    return f"{icon} **Measured here:** {measured.sentence}"


def _neighbours(desk: Desk, claims: Mapping[str, C], claim: C) -> None:
    keys = list(claims)
    if len(keys) < 2:
        return
    at = keys.index(claim.key)
    for other, icon in (
        (keys[at - 1], ":material/arrow_back:"),
        (keys[(at + 1) % len(keys)], ":material/arrow_forward:"),
    ):
        st.page_link(_page(desk), label=other, icon=icon, query_params={"claim": other}, help=claims[other].title)


def _page(desk: Desk) -> str:
    return f"pages/{desk.page}.py"


@once(64)
def measured_on(claim: Claim, experiment: Experiment) -> Measured | None:
    """Kept, so that looking around in an experiment measures nothing again."""
    return claim.measure(experiment)
