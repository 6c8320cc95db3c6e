"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const find = (id) => document.getElementById(id);
  const narrow = window.matchMedia("(max-width: 40rem)");
  const dark = window.matchMedia("(prefers-color-scheme: dark)");

  function element(tag, attributes, ...content) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value !== null && value !== undefined) made.setAttribute(name, value);
    }
    made.append(...content);
    return made;
  }

  // Colours -----------------------------------------------------------------------------------------------------------

  const probe = element("span", { hidden: "" });
  document.body.append(probe);

  function colour(name) {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  }

  function themed(layout) {
    const [ink, muted, line, page] = ["ink", "muted", "line", "page"].map(colour);
    const whole = {
      ...layout,
      autosize: true,
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: getComputedStyle(document.body).fontFamily, size: 13, color: ink },
      hoverlabel: { bgcolor: page, bordercolor: muted, font: { color: ink }, namelength: -1 },
      // A finger on a chart scrolls the page.
      dragmode: window.matchMedia("(pointer: coarse)").matches ? false : "zoom",
      modebar: { bgcolor: "rgba(0,0,0,0)", color: muted, activecolor: ink },
      margin: { l: 40, r: 14, t: 22, b: 48, pad: 2 },
    };
    for (const name of Object.keys(layout).filter((key) => /^[xy]axis/.test(key))) {
      whole[name] = { tickfont: { color: ink }, gridcolor: line, linecolor: muted, zerolinecolor: line, ...layout[name] };
      if (name.startsWith("y")) whole[name].automargin = true;
      whole[name].title = { ...layout[name].title, font: { color: muted, size: 12 }, standoff: 8 };
    }
    return whole;
  }

  // Charts ------------------------------------------------------------------------------------------------------------

  const config = {
    responsive: true,
    displaylogo: false,
    // Named one by one: others send data away.
    modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]],
    toImageButtonOptions: { format: "svg", filename: document.title },
  };
  const drawn = new Map();

  function draw(id, figure, words) {
    const place = find(id);
    if (!place) return;
    if (!figure) {
      if (drawn.delete(id)) Plotly.purge(place);
      place.replaceChildren(element("p", { class: "muted" }, words));
      return;
    }
    if (!drawn.has(id)) place.replaceChildren();
    drawn.set(id, figure);
    const layout = themed(figure.layout);
    if (["forest", "helps", "by-group", "ranks"].includes(id)) fit(layout);
    Plotly.react(place, figure.data, layout, config);
  }

  // On a telephone, labels beside the marks would leave no room for the marks, so there they stand above them. They are
  // annotations, since labels that Plotly itself puts inside a chart hide those of the other axis.
  function fit(layout) {
    if (!narrow.matches) return;
    const { tickvals, ticktext } = layout.yaxis;
    const range = [Math.max(layout.yaxis.range[0], tickvals.length - 0.3), Math.min(layout.yaxis.range[1], -0.95)];
    layout.height = 64 + 40 * (range[0] - range[1]);
    layout.yaxis.showticklabels = false;
    layout.yaxis.range = range;
    const labels = ticktext.map((text, index) => ({
      text, y: tickvals[index], yanchor: "bottom", yshift: 3, xref: "paper", x: 0, xanchor: "left", showarrow: false,
      font: { size: 12 },
    }));
    layout.annotations = [...labels, ...(layout.annotations || [])];
    layout.margin.l = 8;
  }

  function redraw() {
    for (const [id, figure] of drawn) draw(id, figure);
  }

  const theme = find("theme");
  const themes = ["auto", "light", "dark"];
  theme.addEventListener("click", () => {
    const root = document.documentElement;
    const next = themes[(themes.indexOf(root.dataset.theme || "auto") + 1) % themes.length];
    if (next === "auto") delete root.dataset.theme;
    else root.dataset.theme = next;
    theme.textContent = `Colours: ${next}`;
    redraw();
  });
  dark.addEventListener("change", redraw);
  narrow.addEventListener("change", redraw);

  // Sorting -----------------------------------------------------------------------------------------------------------

  function value(row, column, kind) {
    const text = row.cells[column].textContent.trim();
    if (kind === "text") return text;
    const number = text.replaceAll("−", "-").replaceAll(",", "").match(/[-+]?\d*\.?\d+(e[-+]?\d+)?/);
    // "< 0.001" stands before 0.001.
    return number ? Number(number[0]) - (text.startsWith("<") ? 1e-9 : 0) : null;
  }

  function sort(table, heading) {
    const headings = [...heading.parentElement.cells];
    const column = headings.indexOf(heading);
    const { kind, first } = heading.dataset;
    const other = { ascending: "descending", descending: "ascending" };
    const current = heading.getAttribute("aria-sort");
    const direction = current === "none" ? first : other[current];
    for (const each of headings) if (each.hasAttribute("aria-sort")) each.setAttribute("aria-sort", "none");
    heading.setAttribute("aria-sort", direction);
    const sign = direction === "ascending" ? 1 : -1;
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row) => [value(row, column, kind), row]);
    rows.sort(([a], [b]) => {
      if (a === null || b === null) return (a === null) - (b === null);
      return sign * (kind === "text" ? a.localeCompare(b, "en", { numeric: true }) : a - b);
    });
    body.append(...rows.map(([, row]) => row));
    if (table.id === "board") letters(heading.dataset.metric);
  }

  // Letters belong to a metric: to that by which the table is sorted.
  function letters(metric) {
    if (!metric) return;
    find("lettered").textContent = `, ${data.metrics[metric].heading}`;
    for (const row of find("board").tBodies[0].rows) {
      row.querySelector(".letters").textContent = data.groups[metric][row.dataset.place];
    }
  }

  for (const table of document.querySelectorAll("table.sortable")) {
    for (const button of table.tHead.querySelectorAll("button")) {
      button.addEventListener("click", () => sort(table, button.closest("th")));
    }
  }

  find("all-columns")?.addEventListener("change", (event) => {
    find("board").parentElement.classList.toggle("few", !event.target.checked);
  });

  // Comparisons -------------------------------------------------------------------------------------------------------

  const verdicts = new Map([[1, "a is better"], [-1, "b is better"], [0, "not told apart"], [null, "no test"]]);

  function sentence(metric, comparison) {
    const [a, b, difference, interval, p, , smallest, decided] = comparison;
    const { heading, unit } = data.metrics[metric];
    const first = data.labels[a];
    const second = data.labels[b];
    const words = new Map([
      [1, `${first} is better than ${second}`],
      [-1, `${second} is better than ${first}`],
      [0, `${first} and ${second} are not told apart`],
      [null, `${first} and ${second}: no test`],
    ]).get(decided);
    const size = [difference, unit].filter(Boolean).join(" ");
    const within = interval === "–" ? "" : ` (95 % interval ${interval})`;
    const detectable = smallest === "–" ? "" : `; detectable ${[smallest, unit].filter(Boolean).join(" ")}`;
    return `${words}. ${heading}: ${first} − ${second} = ${size}${within}, corrected p ${p}${detectable}.`;
  }

  function matrix(metric) {
    const table = find("matrix");
    const order = data.orders[metric] || [];
    const decisions = new Map();
    for (const comparison of data.compared[metric] || []) {
      const [a, b] = comparison;
      const decided = comparison.at(-1);
      decisions.set(`${a} ${b}`, [decided, comparison]);
      decisions.set(`${b} ${a}`, [decided === null ? null : -decided, comparison]);
    }
    const marks = new Map([[1, [">", "more"]], [-1, ["<", "less"]], [0, ["=", ""]], [null, ["·", ""]]]);
    const head = element("tr", {}, element("th", { scope: "col", class: "text" }, "row"));
    const body = element("tbody", {});
    order.forEach((a, index) => {
      head.append(element("th", { scope: "col", title: data.labels[a] }, String(index + 1)));
      const ordinal = element("span", { class: "ordinal" }, String(index + 1));
      const line = element("span", { class: "line" }, ordinal, element("span", {}, data.labels[a]));
      const name = element("th", { scope: "row", class: `name ${data.kinds[a]}` }, line);
      const row = element("tr", {}, name);
      for (const b of order) {
        if (a === b) {
          row.append(element("td", { class: "self", tabindex: "-1", "aria-label": `${data.labels[a]} itself` }));
          continue;
        }
        const [decided, comparison] = decisions.get(`${a} ${b}`) || [null, null];
        const [mark, kind] = marks.get(decided);
        const words = comparison ? sentence(metric, comparison) : "no comparison";
        row.append(element("td", { class: kind || null, tabindex: "-1", title: words, "aria-label": words }, mark));
      }
      body.append(row);
    });
    table.tHead.replaceChildren(head);
    table.tBodies[0].replaceWith(body);
    body.querySelector("td")?.setAttribute("tabindex", "0");
  }

  function explain(event) {
    const cell = event.target.closest("td");
    if (cell?.title) find("matrix-words").textContent = cell.title;
  }

  // One stop of the Tab key for all cells, arrow keys among them.
  function move(event) {
    const cell = event.target.closest("td");
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!cell || !step) return;
    const rows = [...find("matrix").tBodies[0].rows];
    const target = rows[cell.parentElement.sectionRowIndex + step[0]]?.cells[cell.cellIndex + step[1]];
    if (target?.tagName !== "TD") return;
    event.preventDefault();
    cell.setAttribute("tabindex", "-1");
    target.setAttribute("tabindex", "0");
    target.focus();
  }

  for (const name of ["mouseover", "focusin", "click"]) find("matrix").addEventListener(name, explain);
  find("matrix").addEventListener("keydown", move);
  find("matrix-metric").addEventListener("change", (event) => matrix(event.target.value));

  function comparisons() {
    const metric = find("pairs-metric").value;
    const label = find("pairs-label").value;
    const real = find("pairs-real").checked;
    const all = data.compared[metric] || [];
    const chosen = all.filter((pair) => (!label || pair[0] === +label || pair[1] === +label) && (!real || pair.at(-1)));
    const rows = chosen.map(([a, b, ...rest]) => {
      const decided = rest.pop();
      return element(
        "tr",
        {},
        element("td", { class: "name" }, data.labels[a]),
        element("td", { class: "name" }, data.labels[b]),
        ...rest.map((text) => element("td", {}, text)),
        element("td", { class: "text" }, verdicts.get(decided)),
      );
    });
    const table = find("pairs-table");
    table.tBodies[0].replaceChildren(...rows);
    for (const heading of table.tHead.rows[0].cells) heading.setAttribute("aria-sort", "none");
    const of = chosen.length === all.length ? "" : ` of ${all.length}`;
    find("pairs-count").textContent = `${chosen.length}${of} pairs in ${data.metrics[metric]?.heading}`;
  }

  for (const id of ["pairs-metric", "pairs-label", "pairs-real"]) find(id).addEventListener("change", comparisons);

  // Curves ------------------------------------------------------------------------------------------------------------

  const boxes = [...document.querySelectorAll("#key input")];

  function lines() {
    for (const id of ["roc", "det"]) {
      data[id].data.forEach((trace, index) => { trace.visible = boxes[index].checked; });
      draw(id, data[id]);
    }
  }

  for (const box of boxes) box.addEventListener("change", lines);
  for (const button of document.querySelectorAll("[data-lines]")) {
    button.addEventListener("click", () => {
      const { lines: which } = button.dataset;
      for (const box of boxes) box.checked = which === "start" ? box.defaultChecked : which === "all";
      lines();
    });
  }

  // One loss ----------------------------------------------------------------------------------------------------------

  function face(image, name) {
    const source = data.pictures[image];
    if (image === null || !source) return element("span", { class: "lost", role: "img", "aria-label": `${name}, no picture` });
    return element("img", { src: source, alt: name, width: "96", height: "96" });
  }

  function pair({ images, names, text }) {
    const titles = element("span", { class: "names" }, ...names.map((name) => element("span", {}, name)));
    return element("li", {}, ...images.map((image, index) => face(image, names[index])), titles, text);
  }

  function choose(place) {
    const row = data.chosen[place];
    if (!row) return;
    const lost = "The evidence of this row is not there.";
    draw("histogram", row.histogram, lost);
    draw("training", row.training, data.kinds[place] === "baseline" ? "A baseline is not trained in phase 2." : lost);
    draw("map", row.map, lost);
    const unknown = row.where ? "This row has no probability." : lost;
    draw("reliability", row.reliability, unknown);
    find("calibration-error").textContent = row.calibration ? row.calibration.error : "unknown";
    const refused = row.calibration ? row.calibration.refused : "";
    find("refused").textContent = refused && ` faceexp verify gives no probability here: ${refused}.`;
    const met = (row.calibration ? row.calibration.met : []).map(({ aim, range, far, tar }) =>
      element("tr", {}, ...[aim, range, far, tar].map((text) => element("td", {}, text))),
    );
    find("met").tBodies[0].replaceChildren(...met);
    for (const span of document.querySelectorAll(".where")) span.textContent = row.where || "none";
    find("explained").textContent = row.explained || "an unknown share";
    const groups = (row.hardest || []).map(({ title, pairs }) =>
      element(
        "div",
        { class: "group" },
        element("h4", {}, title),
        pairs.length ? element("ul", { class: "faces" }, ...pairs.map(pair)) : element("p", { class: "muted" }, "None."),
      ),
    );
    find("pairs").replaceChildren(...(groups.length ? groups : [element("p", { class: "muted" }, lost)]));
  }

  // Settings ----------------------------------------------------------------------------------------------------------

  function settings(place) {
    const { sensitivity, parallel, importances } = data.search[place];
    draw("search-sensitivity", sensitivity, "No trial of this loss has a score.");
    draw("search-parallel", parallel, "With one setting, the dots above show everything.");
    draw("search-importances", importances, "With one setting or few scores, there are no shares.");
  }

  find("search-choice")?.addEventListener("change", (event) => settings(event.target.value));
  if (data.search.length) settings(0);

  // Start -------------------------------------------------------------------------------------------------------------

  const metrics = Object.keys(data.metrics);
  if (metrics.length) {
    matrix(find("matrix-metric").value);
    draw("forest", data.forest[find("forest-metric").value]);
    if (data.helps) draw("helps", data.helps);
    if (data.ranks) draw("ranks", data.ranks);
    find("forest-metric").addEventListener("change", (event) => draw("forest", data.forest[event.target.value]));
  }
  if (boxes.length) lines();
  find("by-group-choice")?.addEventListener("change", (event) => draw("by-group", data.byGroup[event.target.value]));
  draw("by-group", data.byGroup[0], "");
  find("chosen").addEventListener("change", (event) => choose(event.target.value));
  choose(find("chosen").value);
})();
