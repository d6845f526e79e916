"""A claim of the course beside the race that shows it: its sentence, with the number that this run measured."""

from __future__ import annotations

from functools import lru_cache

import streamlit as st

from optviz.claims import CLAIMS, Claim, Measured
from optviz.experiment import Experiment
from optviz.ui.controls import folded
from optviz.ui.desk import Desk

PAGE = "pages/descent.py"


def claims_menu(desk: Desk) -> None:
    """The list of claims: each opens the experiment that shows it."""
    with st.popover("Claims", icon=":material/school:", width="content"):
        st.caption("What the course says, each with an experiment that measures it.")
        for claim in CLAIMS.values():
            st.page_link(PAGE, label=f"**{claim.key}** {claim.title}", query_params={"claim": claim.key})


def claim_panel(desk: Desk) -> None:
    """The open claim, if there is one, measured on the experiment as it now stands."""
    if desk.preset not in CLAIMS:
        return
    claim = CLAIMS[desk.preset]
    measured = _measured(claim, desk.experiment)
    with st.container(border=True, key=desk.key("claim"), gap="small"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{claim.key} · {claim.title}**")
            st.space("stretch")
            _neighbours(claim)
            with folded("When it holds, what to watch", desk.key("when"), popover=True, width="content") as opened:
                if opened:
                    sources = (f"[{source}]({source.url})" if source.url else str(source) for source in claim.sources)
                    words = (f"**When it holds.** {claim.condition}", f"**Watch.** {claim.watch}", *sources)
                    st.markdown("\n\n".join(words))
            st.button(
                "Close", key=desk.key("close-claim"), help="Keep the race, without the claim.", on_click=desk.leave
            )
        if measured is None:
            verdict = (
                ":material/help: This race lacks what the claim is about, so it is not measured here. "
                "*Reset* brings its own experiment back."
            )
        else:
            icon = ":green[:material/check_circle:]" if measured.holds else ":red[:material/cancel:]"
            verdict = f"{icon} **Measured here:** {measured.sentence}"
        st.markdown(f"{claim.says}\n\n{verdict}")


def _neighbours(claim: Claim) -> None:
    keys = list(CLAIMS)
    at = keys.index(claim.key)
    for other, icon in (
        (keys[at - 1], ":material/arrow_back:"),
        (keys[(at + 1) % len(keys)], ":material/arrow_forward:"),
    ):
        st.page_link(PAGE, label=other, icon=icon, query_params={"claim": other}, help=CLAIMS[other].title)


@lru_cache(maxsize=64)
def _measured(claim: Claim, experiment: Experiment) -> Measured | None:
    """Kept, so that looking around in an experiment measures nothing again."""
    return claim.measure(experiment)
