// The page of `lort report`: charts by Observable Plot, and a table. Every text is set as text, never as HTML.
"use strict";
const runs = JSON.parse(document.getElementById("runs").textContent);
const main = document.querySelector("main");
const ROWS = 200; // of the table, until the reader asks for more
const LABELS = 64; // columns of the heat map that still get a label

function add(parent, tag, text, className) {
  const element = parent.appendChild(document.createElement(tag));
  if (text !== undefined) element.textContent = text;
  if (className) element.className = className;
  return element;
}

const isMatrix = (t) => t.dims >= 2 && t.bits !== undefined;
const hasLayer = (t) => t.layer !== undefined;
// The name without its layer: matrices of one role in all layers share it.
const role = (t) => t.name.replace(/(^|[./])[0-9]{1,9}(?=[./]|$)/, "$1*");
const round = (v) => (v === undefined ? "" : v === 0 || Math.abs(v) >= 1e6 ? String(v) : String(+v.toPrecision(4)));
const whole = (v) => (Number.isInteger(v) ? String(v) : "");
// The range of a figure over all runs: charts that stand side by side have one scale.
const rangeOf = (key) => d3.extent(runs.flatMap((run) => run.tensors.filter(isMatrix)), (t) => t[key]);
const mebibytes = (v) => v / 1048576;

// ---- charts: each takes a run, and returns an element, or nothing where the run has no such figures ----

function bitsChart(run) {
  const data = run.tensors.filter(isMatrix).map((t) => ({t, column: role(t), row: hasLayer(t) ? t.layer : "none"}));
  if (data.length === 0) return undefined;
  const columns = d3.groupSort(data, (g) => g[0].t.kind ?? "", (d) => d.column);
  const rows = [...d3.sort(new Set(data.map((d) => d.row).filter((r) => r !== "none"))), ...(data.some((d) => d.row === "none") ? ["none"] : [])];
  const labelled = columns.length <= LABELS;
  return Plot.plot({
    width: Math.max(400, Math.min(4000, 90 + columns.length * (labelled ? 24 : 3))),
    height: Math.max(120, 60 + rows.length * 16) + (labelled ? 170 : 0),
    marginLeft: 50, marginBottom: labelled ? 200 : 30, padding: labelled ? 0.05 : 0,
    x: {domain: columns, tickRotate: -60, label: null, axis: labelled ? "bottom" : null},
    y: {domain: rows, label: "layer"},
    color: {scheme: "viridis", domain: rangeOf("bits"), legend: true, label: "bits per weight"},
    marks: [Plot.cell(data, {x: "column", y: "row", fill: (d) => d.t.bits, title: (d) => `${d.t.name}\n${d.t.kind ?? ""}\n${round(d.t.bits)} bits, error ${round(d.t.rel_error)}`})]
  });
}

function kindChart(run) {
  if (!run.kinds.some((k) => k.bytes_out !== undefined)) return undefined;
  return Plot.plot({
    marginLeft: 130, marginRight: 70, x: {label: "MiB; the line is the input", grid: true}, y: {label: null, domain: run.kinds.map((k) => k.kind)},
    marks: [Plot.barX(run.kinds, {y: "kind", x: (k) => mebibytes(k.bytes_out ?? 0), fill: "steelblue"}),
      Plot.tickX(run.kinds, {y: "kind", x: (k) => mebibytes(k.bytes_in ?? 0)}),
      Plot.text(run.kinds, {y: "kind", x: (k) => Math.max(mebibytes(k.bytes_in ?? 0), mebibytes(k.bytes_out ?? 0)), text: (k) => (k.bits === undefined ? "" : `${round(k.bits)} bits`), textAnchor: "start", dx: 5})]
  });
}

function layerChart(key, label) {
  return (run) => {
    const data = run.tensors.filter((t) => isMatrix(t) && hasLayer(t) && t[key] > 0);
    if (data.length === 0) return undefined;
    return Plot.plot({
      x: {label: "layer", tickFormat: whole}, y: {label, grid: true, domain: [0, rangeOf(key)[1]]}, color: {legend: true},
      marks: [Plot.dot(data, {x: "layer", y: key, stroke: (t) => t.kind ?? "others", title: (t) => `${t.name}\n${round(t[key])}`})]
    });
  };
}

function spectrumChart(run) {
  const data = run.tensors.filter((t) => t.spectrum).flatMap((t) => t.spectrum.map((value, i) => ({name: t.name, kind: t.kind ?? "others", i: i + 1, value}))).filter((d) => d.value > 0);
  if (data.length === 0) return undefined;
  return Plot.plot({
    x: {label: "number of the singular value", tickFormat: whole}, y: {label: "singular value / norm", type: "log", grid: true}, color: {legend: true},
    marks: [Plot.line(data, {x: "i", y: "value", z: "name", stroke: "kind", title: "name", strokeOpacity: 0.5})]
  });
}

function memoryChart(run) {
  if (run.samples.length < 2) return undefined;
  const lines = [["planned", run.limits.planned_peak_bytes], ["limit", run.limits.budget_bytes]].filter((l) => l[1] !== undefined);
  const most = d3.max(run.samples, (s) => s.anon_bytes);
  const shown = lines.filter((l) => l[1] <= 4 * most); // a limit far away would flatten the rest
  const far = lines.filter((l) => l[1] > 4 * most).map((l) => `${l[0]}: ${round(mebibytes(l[1]))} MiB`).join(", ");
  return Plot.plot({
    caption: far || undefined, marginRight: 60, x: {label: "seconds"}, y: {label: "anonymous memory, MiB", grid: true, zero: true},
    marks: [Plot.areaY(run.samples, {x: "seconds", y: (s) => mebibytes(s.anon_bytes), fill: "lightsteelblue"}),
      Plot.lineY(run.samples, {x: "seconds", y: (s) => mebibytes(s.anon_bytes), stroke: "steelblue"}),
      Plot.ruleY(shown, {y: (l) => mebibytes(l[1]), stroke: "firebrick", strokeDasharray: "4"}),
      Plot.text(shown, {y: (l) => mebibytes(l[1]), text: (l) => l[0], frameAnchor: "right", textAnchor: "start", dx: 4})]
  });
}

function phaseChart(run) {
  if (run.phases.length === 0) return undefined;
  return Plot.plot({
    marginLeft: 130, marginRight: 60, x: {label: "seconds", grid: true}, y: {label: null, domain: run.phases.map((p) => p.phase)},
    marks: [Plot.barX(run.phases, {y: "phase", x: "seconds", fill: "steelblue"}),
      Plot.text(run.phases, {y: "phase", x: "seconds", text: (p) => `${round(p.seconds)} s`, textAnchor: "start", dx: 5})]
  });
}

function factsTable(run) {
  const table = document.createElement("table");
  table.className = "facts";
  for (const [title, text] of run.facts) {
    const row = add(table, "tr");
    add(row, "td", title);
    add(row, "td", text);
  }
  for (const text of run.warnings) {
    const row = add(table, "tr");
    add(row, "td", "warning");
    add(row, "td", text);
  }
  return table;
}

// A section: one chart for each run, side by side.
function addSection(id, title, draw) {
  const charts = runs.map(draw);
  if (charts.every((c) => c === undefined)) return;
  const section = add(main, "section");
  section.id = id;
  if (title) add(section, "h2", title);
  const row = add(section, "div", undefined, "runs");
  for (const chart of charts) {
    const cell = add(row, "div", undefined, "chart");
    if (chart) cell.append(chart);
  }
}

// ---- the table ----

// Tensors of all runs by name; of two runs the figures stand side by side.
function joinTensors() {
  const rows = new Map();
  runs.forEach((run, i) => {
    for (const t of run.tensors) {
      let row = rows.get(t.name);
      if (!row) rows.set(t.name, (row = {name: t.name, kind: t.kind, layer: t.layer, dtype: t.dtype}));
      for (const key of ["action", "type", "bits", "rel_error", "rank", "bytes_out", "seconds"]) row[key + i] = t[key];
      if (t.reason) row["action" + i] = `${t.action ?? ""} (${t.reason})`;
    }
  });
  return [...rows.values()];
}

function tableColumns() {
  const columns = [["name", "name"], ["kind", "kind"], ["layer", "layer", true], ["dtype", "type"]];
  runs.forEach((_, i) => {
    const of = runs.length > 1 ? ` ${i + 1}` : "";
    columns.push(["action" + i, "action" + of], ["bits" + i, "bits" + of, true], ["rel_error" + i, "error" + of, true], ["rank" + i, "rank" + of, true], ["bytes_out" + i, "bytes" + of, true], ["seconds" + i, "seconds" + of, true]);
  });
  return columns;
}

function addTable() {
  const section = add(main, "section");
  section.id = "tensors";
  add(section, "h2", "Tensors");
  const search = add(section, "input");
  search.type = "search";
  search.placeholder = "name, kind, type or reason";
  const note = add(section, "p");
  const more = add(section, "button", "show all");
  const table = add(section, "table", undefined, "tensors");
  const all = joinTensors(), columns = tableColumns();
  let order = null, falling = false, most = ROWS;

  function fill() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let rows = all.filter((r) => { const text = Object.values(r).join(" ").toLowerCase(); return words.every((w) => text.includes(w)); });
    if (order) rows = d3.sort(rows, (a, b) => (falling ? d3.descending : d3.ascending)(a[order], b[order]));
    table.replaceChildren();
    const head = add(table, "tr");
    for (const [key, title, number] of columns) {
      const th = add(head, "th", title + (key === order ? (falling ? " ↓" : " ↑") : ""), number ? "number" : "");
      th.onclick = () => { falling = key === order ? !falling : Boolean(number); order = key; fill(); };
    }
    for (const row of rows.slice(0, most)) {
      const tr = add(table, "tr");
      for (const [key, , number] of columns) add(tr, "td", number ? round(row[key]) : row[key] ?? "", number ? "number" : "");
    }
    note.textContent = `${Math.min(most, rows.length)} of ${rows.length} rows; a click on a title sorts`;
    more.hidden = rows.length <= most;
  }
  search.oninput = fill;
  more.onclick = () => { most = Infinity; fill(); };
  fill();
}

add(main, "h1", document.title);
addSection("facts", "", factsTable);
addSection("bits", "Bits per weight, by layer and role", bitsChart);
addSection("kinds", "Bytes by kind", kindChart);
addSection("errors", "Relative error by layer", layerChart("rel_error", "relative error"));
addSection("ranks", "Rank by layer", layerChart("rank", "rank"));
addSection("spectra", "Leading singular values", spectrumChart);
addSection("memory", "Memory over time", memoryChart);
addSection("phases", "Time by phase", phaseChart);
addTable();
