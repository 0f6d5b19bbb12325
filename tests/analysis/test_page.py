"""The page: it holds what the tables hold, loads nothing, and fits every width."""

import json
import re
import shlex
import shutil
import subprocess
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from analysis import page
from analysis.figures import FIGURES
from analysis.load import load
from analysis.report import FILES
from analysis.sections import sections
from analysis.spelling import p_value
from analysis.summary import Summary, summarise
from analysis.verdict import conclusion

VOID = {"meta", "link", "img", "br"}
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")


class Page(HTMLParser):
    """What stands in a page: tags, text, the addresses it names, and rows of its tables."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.text = ""
        self.loaded: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.alts: list[str] = []
        self.tables: list[list[list[str]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags[tag] += 1
        if tag not in VOID:
            self.open.append(tag)
        self.loaded += [v for k, v in attrs if k in ("src", "srcset", "data", "poster") and v]
        self.loaded += [found["href"] or ""] if tag == "link" else []
        self.links += [found["href"] or ""] if tag == "a" else []
        self.ids += [found["id"] or ""] if "id" in found else []
        self.alts += [found.get("alt") or ""] if tag == "img" else []
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" in self.open:
            return
        self.text += data
        if {"td", "th"} & {*self.open}:
            self.tables[-1][-1][-1] += data

    @property
    def rows(self) -> list[list[str]]:
        """The rows of all tables."""
        return [row for table in self.tables for row in table]


def rendered(summary: Summary) -> Page:
    """The page of a summary without figures."""
    return Page(page.render(summary, {}, FILES))


@pytest.fixture
def html(make_grid: Any) -> Path:
    """A page with blank pictures of the size that figures of a text's width have."""
    folder: Path = make_grid(images=8, gradient=("released", "bce", "mae"))
    pictures = {stem: folder / f"{stem}.png" for stem in FIGURES}
    for path in pictures.values():
        Image.new("L", (2100, 900), 200).save(path, dpi=(300, 300))
    summary = summarise(load(folder))
    path = folder / "report.html"
    path.write_text(page.render(summary, pictures, FILES), encoding="utf-8")
    return path


def test_the_page_loads_nothing_and_links_only_what_lies_beside_it(html: Path) -> None:
    text = html.read_text(encoding="utf-8")
    found = Page(text)
    assert found.loaded
    assert all(address.startswith("data:") for address in found.loaded)
    assert not re.search(r"https?:|@import|url\(|//[a-z]", re.sub(r"data:\S*", "", text))
    assert found.tags["script"] == found.tags["iframe"] == 0
    inside = [link[1:] for link in found.links if link.startswith("#")]
    beside = [link for link in found.links if not link.startswith("#")]
    assert {*inside} <= {*found.ids}
    pictures = {f"{stem}{suffix}" for stem in FIGURES for suffix in (".png", ".pdf")}
    assert {*beside} == {*FILES} | pictures


def test_the_page_is_whole_and_every_picture_has_a_text(html: Path) -> None:
    found = Page(html.read_text(encoding="utf-8"))
    assert found.open == []
    assert found.tags["main"] == found.tags["h1"] == found.tags["title"] == 1
    assert len(found.ids) == len({*found.ids})
    assert len(found.alts) == found.tags["img"] == len(FIGURES)
    assert all(len(alt) > 30 for alt in found.alts)


def test_the_page_holds_question_conclusion_and_every_row_of_the_tables(make_grid: Any) -> None:
    summary = summarise(load(make_grid(effects={"bce": 0.03, "mae": 0.03}, images=8)))
    found = rendered(summary)
    assert "Which loss?" in found.text
    assert conclusion(summary) in found.text
    for section in sections(summary):
        for table in section.tables:
            for row in table.rows:
                cells = [cell.text for cell in row[1:]]
                name = " − ".join(row[0].names) or row[0].text
                assert any(
                    there[0].startswith(name)
                    and all(a in b for a, b in zip(cells, there[1:], strict=False))
                    for there in found.rows
                ), (name, cells)
    for pair in summary.primary:
        row = next(r for r in found.rows if r[0] == str(pair.contrast) and p_value(pair.p) in r)
        assert any(str(pair.judged) in cell for cell in row)


def test_the_page_tells_where_its_numbers_come_from(make_grid: Any) -> None:
    summary = summarise(load(make_grid(seeds=6)))
    text = rendered(summary).text
    for part in (
        "da7a" * 10,
        "c0de" * 10,
        "abc123-dirty",
        "torch 2.13.0",
        "5 images of 3 objects",
    ):
        assert part in text
    for cell in summary.grid.cells:
        assert cell.hash in text
    assert "python experiments/run.py --grid toy --preset laptop\n" in text
    assert "python -m analysis.report results/toy/laptop" in text


def test_the_page_gives_the_command_that_made_the_grid(make_grid: Any) -> None:
    command = "python experiments/run.py --grid toy --set train.lr=1e-4"
    summary = summarise(load(make_grid(seeds=2, command=command)))
    assert f"{command}\n" in rendered(summary).text


@pytest.mark.parametrize("out", ["results/of mine", "/data/results/toy"])
def test_the_page_reports_the_folder_that_the_grid_s_command_writes(
    make_grid: Any, out: str
) -> None:
    command = shlex.join(["python", "experiments/run.py", "--grid", "toy", "--out", out])
    text = rendered(summarise(load(make_grid(seeds=2, command=command)))).text
    assert f"{command}\npython -m analysis.report {shlex.quote(out)}" in text


def test_an_unfinished_grid_is_reported_with_what_is_missing(make_grid: Any) -> None:
    absent = {("mae", 1): "failed", ("mae", 3): "missing", ("bce", 2): "missing"}
    text = rendered(summarise(load(make_grid(absent=absent)))).text
    assert "Unfinished: 3 of 32 runs are not here" in text
    parts = "(failed: mae seed 1; missing: bce seed 2; mae seed 3)"
    assert text.count(parts) == 2  # beside the conclusion and in the notes


@pytest.mark.parametrize(
    "name",
    ["<script>alert(1)</script>", "a & b", '" onload="x', "模型 α", "cost_$5^{2}%", "a|b*c`d"],
)
def test_names_are_text_and_never_markup(make_grid: Any, name: str) -> None:
    arms, contrasts = ("bce", name), ((name, "bce"),)
    question = f"Is {name} it?"
    summary = summarise(
        load(make_grid(arms=arms, contrasts=contrasts, question=question, seeds=6))
    )
    found = rendered(summary)
    assert question in found.text
    assert f"“{name}”" in found.text
    assert found.tags["script"] == 0
    assert found.open == []


@pytest.mark.parametrize(
    "settings",
    [
        {"seeds": 1},
        {"arms": ("bce",)},
        {"images": 1},
        {"noise": 0.0, "object_noise": 0.0},
        {"contrasts": ()},
        {"guards": []},
        {"test": False, "preset": "smoke", "seeds": 2},
        {"margin": 0},
        {"absent": {("mae", seed): "missing" for seed in range(8)}},
        {"baseline": "elsewhere"},
        {"question": ""},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_a_grid_of_any_kind_has_a_page_without_gaps(make_grid: Any, settings: Any) -> None:
    found = rendered(summarise(load(make_grid(**settings))))
    assert found.open == []
    assert not re.search(r"\b(nan|None|inf)\b", found.text)
    assert all(len({len(row) for row in table}) == 1 for table in found.tables)


def seen(html: Path, width: int, scheme: int) -> dict[str, Any]:
    """What a browser makes of a page in a frame of `width`: widths, ground, broken pictures."""
    script = (
        "<script>addEventListener('load', () => parent.postMessage(JSON.stringify({"
        "width: document.documentElement.scrollWidth,"
        "ground: getComputedStyle(document.body).backgroundColor,"
        "broken: [...document.images].filter(i => !i.naturalWidth).length}), '*'))</script>"
    )
    inner = html.with_name("inner.html")
    inner.write_text(html.read_text(encoding="utf-8") + script, encoding="utf-8")
    outer = html.with_name("outer.html")
    outer.write_text(
        f"<iframe src=inner.html width={width} height=800 style='border:0'></iframe>"
        "<script>onmessage = event => document.title = event.data</script>",
        encoding="utf-8",
    )
    command = [
        str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
        "--virtual-time-budget=10000", f"--user-data-dir={html.parent / 'browser'}",
        f"--blink-settings=preferredColorScheme={scheme}", "--window-size=1600,900",
        "--dump-dom", outer.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    title = re.search(r"<title>(.*)</title>", done.stdout)
    assert title, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(title[1])
    return found


@pytest.mark.skipif(BROWSER is None, reason="no chromium is installed")
def test_a_browser_shows_the_page_light_and_dark_and_never_scrolls_it_sideways(
    html: Path,
) -> None:
    looks = [seen(html, width, scheme) for width, scheme in ((320, 1), (390, 0), (1400, 0))]
    assert [look["width"] for look in looks] == [320, 390, 1400]
    assert [look["broken"] for look in looks] == [0, 0, 0]
    grounds = [look["ground"] for look in looks]
    assert grounds[0] != grounds[1] == grounds[2]
