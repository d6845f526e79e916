"""Where words and symbols are explained, and the links that lead there."""

from __future__ import annotations

from urllib.parse import quote

import streamlit as st

from optviz.glossary import WORDS, Symbol, symbols
from optviz.spec import Param


def address(param: Param) -> str:
    """A parameter's place in the glossary."""
    return f"glossary?term={quote(param.name)}"


def link(param: Param) -> str:
    """A parameter's place in the glossary, as Markdown. It opens in a tab of its own, so that no race is lost."""
    return f"[Glossary]({address(param)})"


def glossary(asked: str | None) -> None:
    """All terms, the one that a link asked for first."""
    st.title("Glossary")
    known = symbols()
    if asked in known:
        with st.container(border=True):
            st.markdown(_symbol(known[asked]))
    elif asked in WORDS:
        st.info(f"**{asked}**: {WORDS[asked]}")
    elif asked is not None:
        st.warning("The link asks for a word that is not in the glossary. Here is all there is.")
    words, letters = st.columns(2, gap="large")
    with words:
        st.header("Words")
        st.markdown("\n\n".join(f"**{word}**: {WORDS[word]}" for word in sorted(WORDS, key=str.lower)))
    with letters:
        st.header("Symbols and settings")
        st.markdown("\n\n".join(map(_symbol, sorted(known.values(), key=lambda symbol: symbol.label.lower()))))


def _symbol(symbol: Symbol) -> str:
    lines = [f"{meaning} *({', '.join(owners)})*" for meaning, owners in symbol.meanings.items() if meaning]
    return f"**{symbol.label}**: " + "  \n".join(lines)
