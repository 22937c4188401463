// Plain SVG, placed by percentages: it fits every width without being measured.

function percentage(share) {
  return `${(100 * share).toFixed(3)}%`;
}

// A share with its interval and its threshold, on a scale from `low` to 100 %, in the
// colour of what the gate has decided.
function intervalBar(share, limit, met, label, low = 0) {
  const tone = met == null ? "plain" : met ? "good" : "bad";
  return marked(share, limit, tone, (value) => percentage((value - low) / (1 - low)), label);
}

// A difference with its interval, on a scale from `-most` to `most`.
function differenceBar(difference, most, label) {
  const tone = difference.high < 0 ? "bad" : difference.low > 0 ? "good" : "plain";
  return marked(difference, 0, tone, (value) => percentage((value + most) / (2 * most)), label);
}

function marked(share, limit, tone, across, label) {
  const parts = [drawn("line", { class: "axis", x1: "0%", x2: "100%", y1: "50%", y2: "50%" })];
  if (limit !== undefined) {
    parts.push(drawn("line", { class: "limit", x1: across(limit), x2: across(limit), y1: "8%", y2: "92%" }));
  }
  if (share && share.value !== null) {
    parts.push(
      drawn("line", { class: `spread ${tone}`, x1: across(share.low), x2: across(share.high), y1: "50%", y2: "50%" }),
      drawn("circle", { class: `value ${tone}`, cx: across(share.value), cy: "50%", r: 5 }),
    );
  }
  return drawn("svg", { class: "interval", role: "img", "aria-label": label }, parts);
}

const CHART = { height: 270, left: 50, right: 14, top: 14, bottom: 44 };

// Reliability by policy version: before, after, and what the updates learned from.
function learningCurve(training, updates, width) {
  const last = Math.max(1, training.version ?? 0, ...updates.map((row) => row.version));
  const points = [["before", training.before, 0], ["after", training.after, training.version ?? last]]
    .filter(([, share]) => share && share.value !== null && share.value !== undefined);
  const low = Math.min(
    training.target ?? 1, ...points.map(([, share]) => share.low),
    ...updates.map((row) => Math.min(row.passed, row.reliability)),
  );
  const bottom = Math.max(0, Math.floor(10 * low - 0.2) / 10);
  const x = (version) => CHART.left + (version / last) * (width - CHART.left - CHART.right);
  const y = (share) =>
    CHART.top + ((1 - share) / (1 - bottom)) * (CHART.height - CHART.top - CHART.bottom);
  const parts = [];
  const step = 1 - bottom > 0.5 ? 20 : 10;
  for (let level = Math.round(100 * bottom); level <= 100; level += step) {
    const at = y(level / 100);
    parts.push(
      drawn("line", { class: "grid", x1: CHART.left, x2: width - CHART.right, y1: at, y2: at }),
      drawn("text", { class: "tick", x: CHART.left - 8, y: at + 4, "text-anchor": "end" }, `${level} %`),
    );
  }
  const every = Math.max(1, Math.ceil(last / (width > 500 ? 10 : 5)));
  for (let version = 0; version <= last; version += every) {
    parts.push(drawn("text", { class: "tick", x: x(version), y: CHART.height - 24, "text-anchor": "middle" }, String(version)));
  }
  parts.push(drawn("text", { class: "tick", x: width - CHART.right, y: CHART.height - 4, "text-anchor": "end" }, "policy version"));
  if (training.target !== undefined && training.target !== null) {
    const at = y(training.target);
    parts.push(drawn("line", { class: "limit", x1: CHART.left, x2: width - CHART.right, y1: at, y2: at }));
  }
  for (const row of updates) {
    parts.push(drawn("circle", { class: "batch", cx: x(row.version), cy: y(row.passed), r: 3 },
      drawn("title", {}, `update ${row.update}: ${percent(row.passed)} of its episodes passed`)));
  }
  if (updates.length) {
    const line = updates.map((row) => `${x(row.version).toFixed(1)},${y(row.reliability).toFixed(1)}`).join(" ");
    parts.push(drawn("polyline", { class: "curve", points: line }));
  }
  for (const [name, share, version] of points) {
    const [at, right] = [x(version), version > last / 2];
    parts.push(
      drawn("line", { class: "error", x1: at, x2: at, y1: y(share.low), y2: y(share.high) }),
      drawn("circle", { class: "point", cx: at, cy: y(share.value), r: 6 }),
      drawn("text", { class: "name", x: at + (right ? -12 : 12), y: y(share.value) + (right ? 22 : 4), "text-anchor": right ? "end" : "start" },
        `${name} ${percent(share.value)}`),
    );
  }
  const spoken = points.map(([name, share]) => `${name} ${percent(share.value)} (${interval(share)})`).join(", ");
  return drawn("svg", {
    class: "learning", viewBox: `0 0 ${width} ${CHART.height}`, role: "img",
    "aria-label": `Learning curve: ${spoken}`,
  }, parts);
}
