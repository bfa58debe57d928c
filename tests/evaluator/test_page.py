"""The page as html: what stands in it, for whom, and that it needs nothing from anywhere."""

import base64
import json
import re
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path

import pytest

from recbole_unlearn.evaluator import charts, figures
from recbole_unlearn.evaluator.page import earlier_runs, render_page, save_page
from recbole_unlearn.evaluator.page_charts import _height
from recbole_unlearn.evaluator.plots import check_matplotlib, save_plots
from recbole_unlearn.exceptions import ConfigError

VOID = {"meta", "br", "link", "img", "input"}


class Tree(HTMLParser):
    """Reads (tag, attributes, text) of every element and fails on tags that do not nest."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements = [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append([tag, dict(attrs), ""])
        if tag not in VOID:
            self.open.append(self.elements[-1])

    def handle_startendtag(self, tag, attrs):
        self.elements.append([tag, dict(attrs), ""])

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        for element in self.open:
            element[2] += data

    def all(self, tag):
        return [(attributes, " ".join(text.split())) for name, attributes, text in self.elements if name == tag]


@pytest.fixture
def tree(full_report):
    return Tree(render_page(full_report))


def test_methods_are_the_rows_of_every_table(tree, full_report):
    tables = tree.all("table")
    assert len(tables) == len(tree.all("caption")) == 7
    heads = [text for attributes, text in tree.all("th") if attributes["scope"] == "row"]
    popular = 3  # the principles and both tables of utility
    assert heads.count("(popularity)") == popular
    assert all(heads.count(name) == len(tables) for name in full_report["methods"])
    assert all(attributes.get("scope") for attributes, _ in tree.all("th"))


def test_the_three_principles_stand_side_by_side(tree):
    groups = [(text, attributes["colspan"]) for attributes, text in tree.all("th") if "colspan" in attributes]
    assert groups == [("P1 completeness", "3"), ("P2 efficiency", "3"), ("P3 utility, NDCG@10", "4")]
    row = next(text for _, text in tree.all("tr") if text.startswith("SCIF"))
    assert row == "SCIF0.520 [0.500, 0.540]––0.085404.1x2.70.48000.9800.24501.167"


def test_a_screen_reader_gets_title_description_and_figures(tree):
    images = [attributes for attributes, _ in tree.all("svg") if attributes.get("role") == "img"]
    assert len(images) == 5
    ids = [attributes["id"] for _, attributes, _ in tree.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for image in images:
        assert {image["aria-labelledby"], image["aria-describedby"]} <= set(ids)
    told = {attributes["id"]: text for attributes, text in tree.all("desc")}
    assert told["time-desc"].endswith("Retrain 34.5; SCIF 0.085; FineTune 3.2; SISA 20.")
    assert "Original 0.85; Retrain 0.51; SCIF 0.52; FineTune 0.84." in told["roc-desc"]
    assert tree.all("html")[0][0]["lang"] == "en"


def test_wide_tables_scroll_by_keyboard(tree):
    regions = [attributes for attributes, _ in tree.all("div") if "scroll" in attributes.get("class", "").split()]
    assert len(regions) == 7
    assert all(region["tabindex"] == "0" and region["aria-labelledby"] for region in regions)


def test_nothing_is_loaded_and_names_are_escaped(tree, full_report):
    text = re.sub(r'href="data:application/json;base64,[A-Za-z0-9+/=]*"', "", render_page(full_report))
    assert re.findall(r"https?:|//|url\(|@import|<script|<link|src=|href=", text) == []
    assert "tiny &lt;b&gt;" in text
    assert tree.all("b") == []


def test_the_rank_shift_is_against_the_original(tree):
    row = next(text for _, text in tree.all("tr") if text.startswith("SCIF0.610"))
    assert row == "SCIF0.6100.5600.660-0.290"


def test_a_chart_without_figures_says_so(full_report):
    full_report["oracle_power"] = {}
    for told in full_report["methods"].values():
        told["mio"], told["witnesses"] = {}, {}
    tree = Tree(render_page(full_report))
    assert sum("This run has no figures" in text for _, text in tree.all("p")) == 2
    assert len([1 for attributes, _ in tree.all("svg") if attributes.get("role") == "img"]) == 3


def test_the_curve_between_its_points():
    assert _height([(0.0, 0.0), (0.2, 0.4), (1.0, 1.0)], 0.1) == pytest.approx(0.2)
    assert _height([], 0.1) is None


def test_places_on_a_logarithmic_axis():
    told = charts.rows(
        charts.Label("t", "title", "told"),
        {"a": (0.1, 0.1, 0.1), "none": None, "b": (10.0, 1.0, 10.0)},
        charts.Axis(charts.decades(0.1, 10), "time"),
        None,
        log=True,
    )
    centres = re.findall(r'<circle[^>]*cx="([\d.]+)"', told)
    diamonds = re.findall(r'<polygon class="mark s2" points="([\d.]+),', told)
    assert (centres, diamonds) == (["22"], ["334"])  # .1 s at the left end, 10 s at the right, and b keeps its style


def test_every_method_has_its_own_dash_and_marker_pair():
    pairs = {(charts.dash(number), charts.mark(number, 0, 0)) for number in range(charts.STYLES)}
    assert len(pairs) == charts.STYLES


def luminance(colour):
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_colours_have_contrast_in_light_and_dark():
    """WCAG 2.2: 4.5 to 1 for text (1.4.3); lines and marks need 3 to 1 (1.4.11) and have the same here."""
    template = files("recbole_unlearn.evaluator").joinpath("page.html").read_text()
    schemes = re.findall(r":root \{(.*?)\}", template, re.DOTALL)
    assert len(schemes) == 2
    for scheme in schemes:
        colours = dict(re.findall(r"--(\w+): (#\w{6})", scheme))
        for name in ("ink", "soft", "focus", *(f"s{number}" for number in range(charts.STYLES))):
            for ground in ("paper", "band"):
                light, dark = sorted((luminance(colours[name]), luminance(colours[ground])), reverse=True)
                assert (light + 0.05) / (dark + 0.05) >= 4.5, (name, ground)


def test_the_page_is_written_whole(full_report, tmp_path):
    save_page(full_report, tmp_path / "new" / "report.html")
    assert (tmp_path / "new" / "report.html").read_text() == render_page(full_report)


def test_plots_for_papers(full_report, tmp_path):
    pytest.importorskip("matplotlib")
    written = save_plots(full_report, tmp_path)
    assert [path.name for path in written] == [
        f"{name}.{form}" for name in ("roc", "time", "utility", "rank") for form in ("png", "svg")
    ]
    assert all(path.read_bytes()[:4] == b"\x89PNG" for path in written[::2])
    first = (tmp_path / "time.svg").read_bytes()
    save_plots(full_report, tmp_path)
    assert (tmp_path / "time.svg").read_bytes() == first


def test_no_file_for_a_plot_without_figures(full_report, tmp_path):
    pytest.importorskip("matplotlib")
    full_report["methods"] = {"Original": {"mio": {}, "utility": {}, "seconds": None}}
    assert save_plots(full_report, tmp_path) == []
    assert list(Path(tmp_path).iterdir()) == []


def test_plots_without_matplotlib_are_refused(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(ConfigError, match=r"pip install 'recbole-unlearn\[plots\]'"):
        check_matplotlib()


def test_the_protocol_that_was_asked_is_drawn(full_report):
    assert figures.protocol_of(full_report) == "strong"
    assert figures.protocol_of({"oracle_power": {"paper": {}}}) == "paper"


def judged_report(full_report):
    """Return the report with a refit oracle and what was judged of it."""
    excess, none = {"excess": 0.2, "low": 0.15, "high": 0.25}, {"excess": 0.0, "low": -0.01, "high": 0.01}
    full_report["oracle_power"]["refit"] = {"auc": 0.7, "informative": True, "excess": 0.2, "error": 0.03}
    for name, told in full_report["methods"].items():
        forgets = name == "Retrain"
        auc = 0.5 if forgets else 0.7
        seen = {"auc": 0.66, "auc_low": 0.62, "auc_high": 0.7, "users": 3, "of": 57}
        told["mio"]["refit"] = {"auc": auc, "auc_low": auc - 0.02, "auc_high": auc + 0.02, "users": 3, "of": 3}
        told["mio"]["refit"] |= {"retained": seen, "tells": True, "calibrated": True}
        told["remembers"] = None if forgets else {"strong": none, "refit": excess}
        told["complete"] = None if forgets else False
    return full_report


def test_the_verdict_comes_first_and_weak_oracles_warn(full_report):
    tree = Tree(render_page(judged_report(full_report)))
    (verdict,) = (text for attributes, text in tree.all("p") if attributes.get("class") == "verdict")
    assert verdict == "Retrain forgets; the items of SCIF, FineTune and SISA remember."
    warnings = [text for attributes, text in tree.all("p") if attributes.get("class") == "warn"]
    assert warnings == [
        f"The paper oracle has no figure: {full_report['methods']['Original']['mio']['paper']['reason']}"
    ]
    assert not any("The paper oracle has no figure" in text for _, text in tree.all("li"))


def test_the_refit_oracle_has_a_chart_with_what_it_sees_of_retained_users(full_report):
    tree = Tree(render_page(judged_report(full_report)))
    assert "SCIF0.7000.6800.7200.660" in [text for _, text in tree.all("tr")]
    told = {attributes["id"]: text for attributes, text in tree.all("desc")}
    assert told["refit-desc"].endswith("Original 0.7; Retrain 0.5; SCIF 0.7; FineTune 0.7; SISA 0.7.")


def test_the_page_says_which_run_it_is_and_carries_the_report(full_report):
    full_report["run"] = {"time": "2026-11-27T12:00:00Z", "command": "run_unlearn.py --model=NeuMF", "users": 60}
    full_report["run"] |= {"items": 40, "rows": [1200, 0, 300], "epochs": 5, "commit": "abc"}
    tree = Tree(render_page(full_report))
    facts = dict(zip((t for _, t in tree.all("dt")), (t for _, t in tree.all("dd")), strict=True))
    assert facts["data set"] == "tiny <b> (60 users, 40 items; rows: 1,200 train, 0 valid, 300 test)"
    assert (facts["made"], facts["epochs"], facts["commit"]) == ("2026-11-27T12:00:00Z", "5", "abc")
    (link,) = (attributes for attributes, _ in tree.all("a"))
    assert json.loads(base64.b64decode(link["href"].partition(",")[2])) == full_report
    assert link["download"] == "report.json"


def test_a_card_on_a_phone_names_each_value(tree):
    values = [attributes["data-label"] for attributes, _ in tree.all("td") if "data-label" in attributes]
    assert values[:3] == ["strong oracle, AUC", "refit oracle, AUC", "paper's oracle, AUC"]
    assert len(values) == 10 * 6  # five methods and popularity


def test_earlier_runs_stand_below_and_what_is_no_report_is_left_out(full_report, tmp_path):
    (tmp_path / "2026-11-26T10-00-00Z.json").write_text(json.dumps(judged_report(full_report)))
    for name, content in {"1": "{", "2": "[]", "3": "{}", "4": '{"methods": 1}'}.items():
        (tmp_path / f"{name}.json").write_text(content)
    earlier = earlier_runs(tmp_path)
    told = "Retrain forgets; the items of SCIF, FineTune and SISA remember."
    assert earlier == [["2026-11-26T10-00-00Z", "NeuMF", "tiny <b>", told]]
    tree = Tree(render_page(full_report, earlier))
    assert "".join(earlier[0]) in [text for _, text in tree.all("tr")]
    assert "Earlier runs of this folder" not in render_page(full_report)
    assert earlier_runs(tmp_path / "nowhere") == []
