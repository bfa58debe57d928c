"""What mkdocs does not find in docs/: the table of keys, the reference, and a navigation of the pages that exist."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

from recbole_unlearn.settings import presets

ROOT = Path(__file__).parent.parent.parent
PAGES = {
    "Start": {
        "What it is": "index.md",
        "Quick start": "quick_start.md",
        "Your own model": "your_model.md",
        "Withdrawals in production": "production.md",
    },
    "Understand": {
        "Protocol and report": "protocol.md",
        "Mathematics": "mathematics.md",
        "Influence methods": "influence.md",
        "A withdrawn user's embedding": "withdrawn_row.md",
        "Single interactions": "interactions.md",
        "Shards": "shards.md",
        "What items remember": "items_remember.md",
        "RetrainSVD and RedrawItems": "redraw.md",
    },
    "Figures": {
        "Leaderboard": "leaderboard.md",
        "Results": "results.md",
        "All tables": "results_tables.md",
        "Performance": "performance.md",
    },
    "Look up": {"Keys": "keys.md", "Glossary": "glossary.md"},
    "Extend": {"Extend": "extend.md", "Architecture": "architecture.md", "Modules": "modules.md"},
}
_GENERATED = {"keys.md"}


def on_config(config: Any) -> Any:
    """Make the navigation of the pages that exist, the pages that nobody listed, and the reference."""
    folder = Path(config["docs_dir"])
    there = {path.name for path in folder.glob("*.md")} | _GENERATED
    nav = []
    for section, pages in PAGES.items():
        found = [{title: name} for title, name in pages.items() if name in there]
        if found:
            nav.append({section: found})
    listed = {name for pages in PAGES.values() for name in pages.values()}
    if others := sorted(there - listed):
        nav.append({"More": list(others)})
    config["nav"] = [*nav, {"Reference": [{name: f"reference/{name}.md"} for name in parts()]}]
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the generated pages."""
    files.append(File.generated(config, "keys.md", content=keys_page()))
    for part, modules in parts().items():
        content = "\n\n".join([f"# {part}", *(f"## {module}\n\n::: {module}" for module in modules)])
        files.append(File.generated(config, f"reference/{part}.md", content=content + "\n"))
    return files


def parts() -> dict[str, list[str]]:
    """Return the modules of each folder of the package; those at its top under the package's name."""
    found: dict[str, list[str]] = {"recbole_unlearn": []}
    for path in sorted((ROOT / "recbole_unlearn").rglob("*.py")):
        inside = path.relative_to(ROOT).with_suffix("").parts
        if inside[-1] != "__init__" and not inside[-1].startswith("_"):
            found.setdefault(inside[1] if len(inside) > 2 else inside[0], []).append(".".join(inside))
    return found


def keys_page() -> str:
    """Return the page of all keys, from the comments of the yaml files."""
    lines = [
        "# Keys",
        "",
        "Every key of this plugin; RecBole's own keys work as there. Give one as `--key=value`, in a yaml file",
        "(`--config_files=mine.yaml`) or in `config_dict`. Later layers win: RecBole's defaults, `overall.yaml`, the file of",
        "the model, the data set, the protocol and the method here, your files, `config_dict`, the command line.",
        "",
        "## Of every run",
        "",
        *_table(presets.keys("overall"), "overall.yaml"),
        "## Of methods",
        "",
        "Each method has its own defaults; what you give holds for every method of the run that has the key.",
        "",
        *_methods(),
    ]
    for kind, title in (("protocol", "protocol"), ("model", "model"), ("dataset", "data set")):
        for name in presets.names(kind):
            lines += [f"## Of the {title} {name}", "", *_table(presets.keys(kind, name), f"{kind}/{name}.yaml")]
    return "\n".join(lines) + "\n"


def _table(keys: list[presets.Key], source: str) -> list[str]:
    lines = [f"From `properties/{source}`.", "", "| key | type | default | meaning |", "|---|---|---|---|"]
    lines += [f"| `{key.name}` | {key.type} | {_shown(key.default)} | {_cell(key.meaning)} |" for key in keys]
    return [*lines, ""]


def _methods() -> list[str]:
    """Return one row per key: methods share keys, with defaults of their own."""
    rows: dict[str, tuple[presets.Key, dict[str, list[str]]]] = {}
    for method in presets.names("method"):
        for key in presets.keys("method", method):
            _, defaults = rows.setdefault(key.name, (key, {}))
            defaults.setdefault(_shown(key.default), []).append(method)
    lines = [
        "From `properties/method/<method>.yaml`.",
        "",
        "| key | type | default of methods | meaning |",
        "|---|---|---|---|",
    ]
    for name, (key, defaults) in rows.items():
        told = "<br>".join(f"{value}: {', '.join(methods)}" for value, methods in defaults.items())
        lines.append(f"| `{name}` | {key.type} | {told} | {_cell(key.meaning)} |")
    return [*lines, ""]


def _shown(value: Any) -> str:
    return "none" if value is None else f"`{_cell(str(value))}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")
