"""What a toolkit starts instead of luthier: it writes down the settings and channels that it finds, or fails."""

from __future__ import annotations

import json
import os
import sys

from luthier.launch.contract import Job, decoded, write_failure

if __name__ == "__main__":
    job = Job.read(os.environ, sys.argv[1:])
    seen = {"settings": {name: decoded(value) for name, value in job.settings.items()}}
    seen["channels"] = [path.name for path in job.channels]
    (job.base / "seen.json").write_text(json.dumps(seen))
    if "fails" in job.settings:
        write_failure(job.base, "the sentence")
        sys.exit(1)
