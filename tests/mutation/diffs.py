"""Prints the diffs of mutants in mutmut's folder, as JSON: one process for all of them.

`mutmut show` prints one, and each start of it costs a second.
"""

from __future__ import annotations

import json
import sys

from mutmut.mutation.diff_apply import get_diff_for_mutant

if __name__ == "__main__":
    print(json.dumps({name: get_diff_for_mutant(name) for name in sys.argv[1:]}))
