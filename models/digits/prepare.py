"""Make the digits' committed tables from scikit-learn's copy: `python -m models.digits.prepare`.

See data/SOURCE.md for the source, the licence and the files.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

from quintet_publish.kit import write_table

HERE = Path(__file__).parent
SEED = 19980701
HELD_OUT = 0.25  # share of the images that are held out


def main() -> None:
    """Write the files of data/."""
    digits = load_digits()
    held_out = np.random.default_rng(SEED).random(len(digits.target)) < HELD_OUT
    for name, wanted in (("training", ~held_out), ("held_out", held_out)):
        columns = {
            "image": digits.images[wanted].astype(np.float32),
            "digit": digits.target[wanted].astype(np.int64),
        }
        write_table(HERE / "data" / f"{name}.parquet", columns)


if __name__ == "__main__":
    main()
