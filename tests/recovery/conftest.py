"""Makes the modules of this folder importable for its tests, as they are for its scripts."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
