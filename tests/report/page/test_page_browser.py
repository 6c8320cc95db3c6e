"""The page in a browser: a reader sorts, chooses and reads on a telephone and on a desk, and nothing is loaded."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess

import pytest

from faceexp.report.columns import rows_of
from faceexp.report.page.html import page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
CHARTS = ("forest", "roc", "det", "histogram", "training", "map")

# Does what a reader does and tells the page around it what came of it.
PROBE = """
<script>
addEventListener("load", async () => {
  const wait = () => new Promise((done) => setTimeout(done, 300));
  const get = (query) => document.querySelector(query);
  const all = (query) => [...document.querySelectorAll(query)];
  const change = async (id, value) => { get(id).value = value; get(id).dispatchEvent(new Event("change")); await wait(); };
  const texts = ["#roc .xtick text", "#forest .ytick text, #forest .annotation-text"];
  const shade = () => [
    getComputedStyle(document.body).backgroundColor, ...texts.map((query) => getComputedStyle(get(query)).fill),
  ];
  const board = () => [
    all("#board th[scope='col']").filter((th) => th.offsetWidth).map((th) => th.textContent.split(",")[0]),
    get("#board").offsetWidth <= get("#board").parentElement.clientWidth,
  ];
  const names = () => all("#board tbody tr").map((row) => row.cells[0].textContent);
  await wait();
  const outcome = {
    inner: innerWidth,
    outer: document.documentElement.scrollWidth,
    charts: all(".chart").filter((chart) => chart.querySelector(".main-svg")).map((chart) => chart.id),
    wide: all(".chart").filter((chart) => chart.scrollWidth > chart.clientWidth + 1).map((chart) => chart.id),
    faces: all("#pairs img").map((image) => [image.naturalWidth, image.alt]),
    lines: all("#roc .scatterlayer .trace").length,
    auto: shade(),
    board: board(),
    sideways: all(".scroll").filter((box) => box.scrollWidth > box.clientWidth).map((box) => box.getAttribute("aria-labelledby")),
  };
  try {
    get("#theme").click(); await wait(); outcome.light = shade();
    get("#theme").click(); await wait(); outcome.dark = shade();
    get("#all-columns").click(); outcome.unfolded = board()[0]; get("#all-columns").click();
    const heading = all("#board th").find((th) => th.textContent === "EER %");
    outcome.unsorted = names();
    heading.querySelector("button").click();
    outcome.ascending = [heading.getAttribute("aria-sort"), names()];
    heading.querySelector("button").click();
    outcome.descending = [heading.getAttribute("aria-sort"), names()];
    outcome.lettered = get("#lettered").textContent;
    get("#key input:checked").click(); await wait();
    outcome.fewer = all("#roc .scatterlayer .trace").length;
    await change("#matrix-metric", "eer");
    outcome.matrix = all("#matrix tbody tr").map((row) => [...row.cells].slice(1).map((cell) => cell.textContent));
    get("#matrix td[tabindex='0']").focus();
    document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true }));
    outcome.sentence = [document.activeElement.getAttribute("aria-label"), get("#matrix-words").textContent];
    get("#pairs-real").click();
    outcome.real = all("#pairs-table tbody tr").map((row) => row.cells[7].textContent);
    await change("#chosen", [...get("#chosen").options].find((option) => option.text === "phase-1 embedding").value);
    outcome.baseline = get("#training").textContent;
  } catch (error) { outcome.error = String(error); }
  outcome.asked = performance.getEntriesByType("resource").map((entry) => entry.name.slice(0, 60));
  parent.postMessage(JSON.stringify(outcome), "*");
});
</script>
"""
# A browser's window has a smallest width that is wider than a telephone; a frame has none.
FRAMES = """<!doctype html><body><script>
addEventListener("message", ({ data }) => {
  const told = document.createElement("pre");
  told.textContent = data;
  document.body.append(told);
});
</script>
"""


def outcomes_of(tmp_path, widths, **pages):
    """Return what became of pages in a browser: an outcome for each page and width, and what was said on its console."""
    frames = FRAMES
    for name, text in pages.items():
        (tmp_path / f"{name}.html").write_text(text.replace("</body>", PROBE + "</body>"), encoding="utf-8")
        frames += "".join(f'<iframe src="{name}.html" width="{width}" height="900"></iframe>' for width in widths)
    (tmp_path / "frames.html").write_text(frames, encoding="utf-8")
    assert CHROMIUM is not None
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"]
    command += ["--disable-background-networking", "--disable-component-update", "--enable-logging=stderr"]
    command += ["--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={tmp_path / 'profile'}"]
    command += ["--window-size=1400,1000", "--virtual-time-budget=20000", "--dump-dom"]
    done = subprocess.run(
        [*command, (tmp_path / "frames.html").as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    told = re.findall(r"<pre>(.*?)</pre>", done.stdout, re.DOTALL)
    outcomes = [json.loads(html.unescape(outcome)) for outcome in told]
    assert len(outcomes) == len(pages) * len(widths), done.stderr[-2000:]
    # Frames end in any order.
    return sorted(outcomes, key=lambda outcome: outcome["inner"]), re.findall(r"CONSOLE.*", done.stderr)


def complaints(outcome, console):
    """Return what is wrong with any page, whatever it is about."""
    problems = [f"console: {line}" for line in console]
    problems += [f"asked: {name}" for name in outcome["asked"] if not name.startswith("data:")]
    if outcome["outer"] > outcome["inner"]:
        problems.append(f"wide: {outcome['outer']} in {outcome['inner']}")
    problems += [f"no chart: {name}" for name in CHARTS if name not in outcome["charts"]]
    problems += [f"no picture: {name}" for width, name in outcome["faces"] if not width]
    return problems


@pytest.mark.skipif(not CHROMIUM, reason="no chromium, chromium-browser or google-chrome on the PATH")
class TestInABrowser:
    def test_it_works_on_a_telephone_and_on_a_desk(self, tmp_path, study, text, bad_label):
        outcomes, console = outcomes_of(tmp_path, (390, 1280), page=text)
        labels = [row.label for row in rows_of(study)]
        assert [outcome["inner"] for outcome in outcomes] == [390, 1280]
        for outcome in outcomes:
            assert complaints(outcome, console) == []
            assert "error" not in outcome
            assert outcome["wide"] == []
            assert {alt.removesuffix(bad_label) for _, alt in outcome["faces"]} == {
                f"person {number}" for number in range(4)
            }
            # Light and dark, page and charts.
            assert outcome["light"][0] == "rgb(255, 255, 255)"
            assert all(max(map(int, re.findall(r"\d+", fill))) < 80 for fill in outcome["light"][1:])
            assert max(map(int, re.findall(r"\d+", outcome["dark"][0]))) < 40
            assert all(min(map(int, re.findall(r"\d+", fill))) > 200 for fill in outcome["dark"][1:])
            assert len(outcome["light"]) == len(outcome["dark"]) == 3
            # Sorting, the failed row always last.
            assert outcome["unsorted"] == labels
            assert outcome["ascending"] == ["ascending", labels]
            descending, names = outcome["descending"]
            assert descending == "descending"
            assert sorted(names[:2]) == sorted(labels[2:4])
            assert names[-1] == "dead"
            assert outcome["lettered"] == ", EER %"
            # Lines, the matrix of another metric, its cells by keyboard.
            assert (outcome["lines"], outcome["fewer"]) == (4, 3)
            assert outcome["matrix"][0][2:] == [">", ">", "·"]
            assert outcome["matrix"][3] == ["<", "<", "=", "", "·"]
            assert outcome["sentence"][0] == outcome["sentence"][1]
            assert "not told apart" in outcome["sentence"][0]
            assert "corrected p 1.000" in outcome["sentence"][0]
            assert outcome["real"] == ["a is better"] * 4
            assert outcome["baseline"] == "A baseline is not trained in phase 2."

    def test_name_verdict_and_leading_metric_are_read_without_scrolling_sideways(self, tmp_path, text):
        outcomes, _ = outcomes_of(tmp_path, (390, 1280), page=text)
        narrow, wide = (outcome["board"] for outcome in outcomes)
        assert narrow == [["loss or baseline", "letters", "accuracy %"], True]
        assert wide[1]
        assert wide[0][:4] == ["loss or baseline", "letters", "ok", "accuracy %"]
        assert outcomes[1]["sideways"] == []
        # Whoever asks for the rest gets the same columns everywhere.
        assert outcomes[0]["unfolded"] == outcomes[1]["unfolded"]
        assert set(wide[0]) < set(outcomes[0]["unfolded"])

    def test_ranks_over_sets_are_drawn_in_any_width(self, tmp_path, study, changed, environment, trials, pictures):
        held = {"images": 30, "people": 10, "pairs": 435, "similar": 30}
        ranks = {row.label: 1.0 + place for place, row in enumerate(rows_of(study)) if row.ok}
        labels, sets = list(ranks), [{"name": name, "measured": held} for name in ("lfw", "agedb")]
        means = {label: {"test": 0.9, "lfw": 0.8, "agedb": 0.7} for label in labels}
        over_sets = {"metric": "accuracy", "means": means, "sets": 3, "mean_rank": ranks, "fewest_sets": 3}
        over_sets |= {"p": 0.01, "critical": 2.5, "apart": [[labels[0], labels[-1]]]}
        run = changed(study, test_sets=sets, over_sets=over_sets)
        outcomes, console = outcomes_of(tmp_path, (390, 1280), page=page(run, environment, trials, pictures))
        for outcome in outcomes:
            assert complaints(outcome, console) == []
            assert outcome["wide"] == []
            assert "ranks" in outcome["charts"]

    def test_what_is_wrong_is_found(self, tmp_path, text):
        outside = '<img src="https://planted.invalid/x.png" alt="">'
        careless = re.sub(r'<meta http-equiv="Content-Security-Policy".*?>', "", text)
        careless = careless.replace(
            "</main>", f'{outside}<div style="width: 3000px">wide</div><script>none()</script></main>'
        )
        careless = careless.replace('id="det"', 'id="lost"').replace("iVBORw0KGgo", "AAAAAAAAAAA")
        (outcome,), console = outcomes_of(tmp_path, (1280,), careless=careless)
        problems = " ".join(complaints(outcome, console))
        for part in (
            "asked: https://planted.invalid",
            "wide: 3",
            "no chart: det",
            "no picture: person",
            "none is not defined",
        ):
            assert part in problems

    def test_the_policy_stops_what_would_ask(self, tmp_path, text):
        asking = text.replace("</main>", '<img src="https://planted.invalid/x.png" alt=""></main>')
        (outcome,), console = outcomes_of(tmp_path, (1280,), asking=asking)
        assert "Content Security Policy" in " ".join(console)
        assert outcome["charts"] == list(CHARTS)
