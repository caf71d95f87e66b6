"""What tritony, a helper over tritonclient, gets from an API: python tritony_client.py URL"""

from __future__ import annotations

import json
import sys

import numpy as np
from tritony import InferenceClient

host = sys.argv[1].removeprefix("http://")
client = InferenceClient.create_with("log", host, protocol="http", run_async=True)
rows = np.array([[3, 1]] * 12, np.float32)
print(json.dumps(client(rows).tolist()))
