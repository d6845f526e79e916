"""Make the files of the real data sets, `optviz/data/*.npz`, from the copies that scikit-learn distributes.

    .venv/bin/python docs/make_datasets.py

Needs scikit-learn, which nothing else does. Values are stored as they were published, in the smallest type that holds
them exactly; only some names are made plainer. The tests know what must come out.
"""

from pathlib import Path
from typing import Any

import numpy as np
from sklearn import datasets  # pyright: ignore[reportMissingImports]

DATA = Path(__file__).parents[1] / "optviz" / "data"
PIXELS = [f"row {row}, column {column}" for row in range(1, 9) for column in range(1, 9)]
SERUM = ["s1 total cholesterol", "s2 LDL", "s3 HDL", "s4 cholesterol / HDL", "s5 triglycerides (log?)", "s6 glucose"]


def smallest(values: np.ndarray) -> np.ndarray:
    """The same numbers, as whole numbers where they are whole."""
    kinds = (np.uint8, np.uint16, np.int32, np.float64)
    return next(values.astype(kind) for kind in kinds if (values.astype(np.float64).astype(kind) == values).all())


def load(name: str, **options: Any) -> Any:
    return getattr(datasets, f"load_{name}")(**options)


def main() -> None:
    digits, cancer, wine, iris = (load(name) for name in ("digits", "breast_cancer", "wine", "iris"))
    diabetes = load("diabetes", scaled=False)
    tables = {
        "digits": (digits, PIXELS, [str(digit) for digit in range(10)]),
        "breast_cancer": (cancer, cancer.feature_names, cancer.target_names),
        "wine": (wine, [name.replace("_", " ") for name in wine.feature_names], [f"cultivar {i}" for i in (1, 2, 3)]),
        "iris": (iris, iris.feature_names, iris.target_names),
        "diabetes": (diabetes, ["age", "sex", "body mass index", "blood pressure", *SERUM], []),
    }
    for key, (table, features, classes) in tables.items():
        np.savez_compressed(
            DATA / f"{key}.npz",
            x=smallest(table.data),
            y=smallest(table.target),
            features=np.array(features, dtype=str),
            classes=np.array(classes, dtype=str),
        )


if __name__ == "__main__":
    main()
