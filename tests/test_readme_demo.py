"""The README's first table is that of ``make demo`` as it is now: the methods of the defaults, each with a refit figure."""

import json
import re
from pathlib import Path

from recbole_unlearn.settings import presets

ROOT = Path(__file__).parent.parent


def test_the_demo_shows_the_default_methods():
    report = json.loads((ROOT / "benchmarks" / "results" / "demo.json").read_text(encoding="utf-8"))
    methods = presets.load("overall")["methods"]
    assert list(report["methods"]) == ["Original", *methods], "run `make demo` and copy output/report.json"
    assert all(one["mio"]["refit"]["auc"] is not None for one in report["methods"].values())
    (block,) = re.findall(r"<!-- demo -->\n```\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    rows = [line.split()[0] for line in block.split("\n---")[1].splitlines()[1:] if line]
    assert rows[: len(methods) + 1] == ["Original", *methods], "run python -m benchmarks.pages.tables"
