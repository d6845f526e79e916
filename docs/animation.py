"""Make the README's animation: the race of the home page, as the app exports it.

PYTHONPATH=. .venv/bin/python docs/animation.py
"""

from pathlib import Path

from optviz.experiment import run
from optviz.export import to_gif
from optviz.ui.presets import SADDLE


def main() -> None:
    Path(__file__).with_name("race.gif").write_bytes(to_gif(SADDLE, run(SADDLE), width=720, frames=75))


if __name__ == "__main__":
    main()
