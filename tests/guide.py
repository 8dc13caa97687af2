"""The code that docs/clusters.md shows."""

from __future__ import annotations

import re
from pathlib import Path

GUIDE = (Path(__file__).parents[1] / "docs" / "clusters.md").read_text()
BASH = re.findall(r"^```bash\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
(SNIPPET,) = re.findall(r"^```python\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
ONE_JOB, SPLIT_AND_SUBMIT, ARRAY, MERGE, SCHEDULER, WORKER, CLIENT = BASH
