// How reliability went from run to run: one large chart, and a small one per scenario.

const SHOWN_SCENARIOS = 40;
const HISTORY = { height: 300, left: 50, right: 14, top: 14, bottom: 30 };

// A run's scenarios as they are stored, and by what names.
function asScenario([name, passed, counted, value, low, high, limit, met, xfail], names) {
  return { name: names[name], passed, counted, share: { value, low, high, threshold: limit }, met, xfail };
}

// What a line of the charts shows: the whole runs, or one scenario of them.
function pointsOf(runs, scenario) {
  const points = [];
  for (const [place, run] of runs.entries()) {
    const found = scenario === null ? run : run.byName.get(scenario);
    const share = scenario === null ? run.reliability : found?.share;
    if (share && share.value !== null) points.push({ run, place, share, met: found.met });
  }
  return points;
}

function toneOf(met) {
  return met === null ? "plain" : met ? "good" : "bad";
}

function bottomOf(points) {
  const low = Math.min(...points.map(({ share }) => Math.min(share.value, share.threshold)));
  return Math.max(0, Math.floor(10 * low - 0.5) / 10);
}

function spoken({ run, share }) {
  const policy = run.policy ? `, ${run.policy}` : "";
  return `${run.id}${policy}: ${percent(share.value, share.threshold)} (${interval(share)}), ${run.what}`;
}

function historyChart(runs, scenario, width) {
  const points = pointsOf(runs, scenario);
  const bottom = points.length ? bottomOf(points) : 0;
  const last = Math.max(1, runs.length - 1);
  const inner = width - HISTORY.left - HISTORY.right - 24;
  // A single run stands in the middle.
  const x = (place) => HISTORY.left + 12 + (runs.length > 1 ? place / last : 0.5) * inner;
  const y = (share) => HISTORY.top
    + ((1 - Math.max(share, bottom)) / (1 - bottom)) * (HISTORY.height - HISTORY.top - HISTORY.bottom);
  const radius = Math.max(2.5, Math.min(6, inner / runs.length / 2.5));
  const chart = drawn("svg", {
    class: "history", viewBox: `0 0 ${width} ${HISTORY.height}`, role: "img",
    "aria-label": `Reliability in ${count(points.length, "run")}, the latest on the right`,
  }, levels(bottom, y, width), dates(runs, x, width), limits(points, x, y),
  points.map((point) => runPoint(point, x(point.place), y, radius)));
  // The edge that keeps large points apart would hide small ones.
  chart.style.setProperty("--edge", radius < 4 ? "0" : "1.5px");
  chart.style.setProperty("--spread", `${Math.min(6, 1.2 * radius)}px`);
  return chart;
}

function levels(bottom, y, width) {
  const lines = [];
  const step = 1 - bottom > 0.5 ? 20 : 10;
  for (let level = Math.round(100 * bottom); level <= 100; level += step) {
    const at = y(level / 100);
    lines.push(
      drawn("line", { class: "grid", x1: HISTORY.left, x2: width - HISTORY.right, y1: at, y2: at }),
      drawn("text", { class: "tick", x: HISTORY.left - 8, y: at + 4, "text-anchor": "end" }, `${level} %`));
  }
  return lines;
}

function dates(runs, x, width) {
  const sameDay = day(runs[0].started) === day(runs.at(-1).started);
  const most = Math.max(2, Math.floor(width / 150));
  const every = Math.max(1, Math.ceil((runs.length - 1) / (most - 1)));
  const shown = [];
  for (let place = 0; place < runs.length; place += every) {
    const at = x(place);
    const end = at > width - 70 ? "end" : at < HISTORY.left + 30 ? "start" : "middle";
    shown.push(drawn("text", { class: "tick", x: at, y: HISTORY.height - 8, "text-anchor": end },
      sameDay ? hour(runs[place].started) : day(runs[place].started)));
  }
  return shown;
}

function day(seconds) {
  return new Date(1000 * seconds).toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "2-digit" });
}

function hour(seconds) {
  return new Date(1000 * seconds).toLocaleTimeString("en-GB", { timeStyle: "short" });
}

// The threshold of each run, which changes in the middle between two of them.
function limits(points, x, y) {
  if (!points.length) return [];
  const steps = points.map(({ place, share }, at) => {
    const next = points[at + 1];
    const end = next ? (x(place) + x(next.place)) / 2 : x(place) + 12;
    return `${y(share.threshold).toFixed(1)}H${end.toFixed(1)}`;
  });
  return [drawn("path", { class: "limit threshold", d: `M${HISTORY.left} ${steps.join("V")}` })];
}

function runPoint(point, at, y, radius) {
  const { run, share, met } = point;
  const tone = toneOf(met);
  const shape = run.what === "trained"
    ? drawn("rect", { class: `value ${tone}`, x: at - radius, y: y(share.value) - radius, width: 2 * radius, height: 2 * radius, transform: `rotate(45 ${at} ${y(share.value)})` })
    : drawn("circle", { class: `value ${tone}`, cx: at, cy: y(share.value), r: radius });
  const parts = [
    drawn("title", {}, spoken(point)),
    drawn("line", { class: `spread ${tone}`, x1: at, x2: at, y1: y(share.low), y2: y(share.high) }),
    shape,
  ];
  // The table of runs has the same links, for the keyboard.
  return run.page ? drawn("a", { href: run.page, tabindex: -1 }, parts) : drawn("g", {}, parts);
}

// A small chart of few elements, however many runs there are: paths on a scale of 0 to 1.
function sparkline(runs, points, bottom) {
  const last = Math.max(1, runs.length - 1);
  const x = (place) => (runs.length > 1 ? place / last : 0.5).toFixed(4);
  const y = (share) => ((1 - Math.max(share, bottom)) / (1 - bottom)).toFixed(4);
  const limit = y(points.at(-1).share.threshold);
  const parts = [drawn("path", { class: "limit", d: `M0 ${limit}H1` })];
  for (const tone of ["plain", "good", "bad"]) {
    const some = points.filter(({ met }) => toneOf(met) === tone);
    if (!some.length) continue;
    const spreads = some.map(({ place, share }) => `M${x(place)} ${y(share.low)}V${y(share.high)}`);
    // A line without length has round ends, which no scale turns into ovals.
    const dots = some.map(({ place, share }) => `M${x(place)} ${y(share.value)}h0`);
    parts.push(
      drawn("path", { class: `spread ${tone}`, d: spreads.join("") }),
      drawn("path", { class: `dot ${tone}`, d: dots.join("") }));
  }
  const chart = drawn("svg", { class: "spark", viewBox: "0 0 1 1", preserveAspectRatio: "none", "aria-hidden": "true" }, parts);
  chart.style.setProperty("--dot", `${Math.max(2.5, Math.min(6, 200 / runs.length))}px`);
  return chart;
}

function reliabilityHistory(runs, state) {
  const shown = runs.filter((run) => run.reliability);
  if (!shown.length) return null;
  const title = state.scenario === null ? "All scenarios" : shortName(state.scenario);
  return element("section", { id: "history", "aria-labelledby": "history-title" },
    element("h2", { id: "history-title" }, "Reliability from run to run"),
    element("p", { class: "charted" },
      element("strong", { id: "charted" }, name(title)),
      state.scenario === null ? null : button("All scenarios", () => state.choose(null), { class: "small" })),
    fitted((width) => historyChart(shown, state.scenario, width), 1180),
    element("p", { class: "legend" },
      element("span", { class: "key point" }), "a run, with interval ",
      element("span", { class: "key diamond" }), "a training, measured after it ",
      element("span", { class: "key limit" }), "threshold"),
    element("p", { class: "hint" }, "The colour is what the gate says; a point leads to the page of its run."),
    scenarioRows(shown, state));
}

// Each scenario's runs, the least reliable scenario first.
function byScenario(runs, words) {
  const names = [...new Set(runs.flatMap((run) => [...run.byName.keys()]))];
  return names
    .filter((scenario) => scenario.toLowerCase().includes(words))
    .map((scenario) => ({ scenario, measured: pointsOf(runs, scenario) }))
    .filter(({ measured }) => measured.length)
    .sort((a, b) => a.measured.at(-1).share.value - b.measured.at(-1).share.value || a.scenario.localeCompare(b.scenario));
}

function scenarioRows(runs, state) {
  const rows = byScenario(runs, state.query.toLowerCase());
  const hint = rows.length ? "By their latest run, the least reliable first; a name leads to its chart." : "None has this in its name.";
  // All on one scale, so that they can be compared.
  const bottom = Math.min(1, ...rows.map(({ measured }) => bottomOf(measured)));
  const table = section("scenarios", "Scenarios", hint,
    ["scenario", `${Math.round(100 * bottom)} – 100 %`, "latest", "interval", "change", "runs"], []);
  more(table, table.querySelector("tbody"), rows, SHOWN_SCENARIOS, (row) => scenarioRow(runs, row, bottom, state), "scenario");
  return table;
}

function scenarioRow(runs, { scenario, measured }, bottom, state) {
  const [before, { share }] = [measured.at(-2), measured.at(-1)];
  return element("tr", {},
    element("th", { scope: "row" }, button(name(shortName(scenario)), () => state.choose(scenario), { class: "link", title: scenario })),
    element("td", { class: "wide" }, sparkline(runs, measured, bottom)),
    element("td", { "data-title": "latest" }, element("strong", {}, percent(share.value, share.threshold))),
    element("td", { "data-title": "interval", class: "quiet" }, interval(share)),
    element("td", { "data-title": "change", class: "quiet" }, before ? points(share.value - before.share.value) : "–"),
    element("td", { "data-title": "runs", class: "quiet" }, number(measured.length)));
}
