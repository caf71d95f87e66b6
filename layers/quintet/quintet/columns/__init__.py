"""A batch as named numpy arrays, made from records, tensors, text cells or typed arrays.

Here values get their dtype: missing values take their default, values of another kind are refused.
`quintet.scoring` checks ranges, categories and finiteness, once for every column, whatever its
source.

`tables` and `tensors` are imported by themselves, since a cold start for records needs neither.
"""

from quintet.columns.batch import (
    FALSE,
    ID_KIND,
    MAX_ID_BYTES,
    TRUE,
    Array,
    Batch,
    drop_empty_texts,
    flat_array,
    id_of,
    is_missing,
    key_of,
    no_rows,
    numpy_dtype,
    positions,
    set_ids,
    shown,
)
from quintet.columns.merging import copied, layout, merge, take
from quintet.columns.names import did_you_mean, near_name, suggestion
from quintet.columns.outputs import column_names, empty_output, flat_columns, places_of
from quintet.columns.ragged import fits, ragged, shape_text, shared, values_of
from quintet.columns.records import from_records, json_rows
from quintet.columns.values import cell_value

__all__ = [
    "FALSE",
    "ID_KIND",
    "MAX_ID_BYTES",
    "TRUE",
    "Array",
    "Batch",
    "cell_value",
    "column_names",
    "copied",
    "did_you_mean",
    "drop_empty_texts",
    "empty_output",
    "fits",
    "flat_array",
    "flat_columns",
    "from_records",
    "id_of",
    "is_missing",
    "json_rows",
    "key_of",
    "layout",
    "merge",
    "near_name",
    "no_rows",
    "numpy_dtype",
    "places_of",
    "positions",
    "ragged",
    "set_ids",
    "shape_text",
    "shared",
    "shown",
    "suggestion",
    "take",
    "values_of",
]
