// Scenarios, tools and failed checks; each row leads to its episodes.

function scenarios(report, choose) {
  const sorted = [...report.summary.scenarios]
    .sort((a, b) => (a.reliability.value ?? 2) - (b.reliability.value ?? 2) || a.name.localeCompare(b.name));
  // Most are near 100 %: the scale begins where the first interval does.
  const ends = sorted.flatMap(({ reliability }) => [reliability.low, reliability.threshold]);
  const low = Math.min(0.9, Math.max(0, Math.floor(10 * Math.min(...ends)) / 10));
  const rows = sorted.map((scenario) => {
    const share = scenario.reliability;
    const counted = scenario.outcomes.passed + scenario.outcomes.failed;
    const spoken = `${percent(share.value)}, interval ${interval(share)}`;
    return element("tr", {},
      element("th", { scope: "row" },
        button(name(shortName(scenario.name)), () => choose({ scenario: scenario.name }), { class: "link", title: scenario.name }),
        tags(scenario, report.summary).map((text) => element("span", { class: "tag" }, text))),
      element("td", { class: "wide" }, intervalBar(share, share.threshold, scenario.met, spoken, low)),
      element("td", { "data-title": "reliability" }, element("strong", {}, percent(share.value, share.threshold))),
      element("td", { "data-title": "interval", class: "quiet" }, counted ? interval(share) : "–"),
      element("td", { "data-title": "passed", class: "quiet" }, `${scenario.outcomes.passed}/${counted}`),
      element("td", { "data-title": "verdict", class: "quiet" }, (share.verdict ?? "–").toLowerCase()));
  });
  return section("scenarios", "Scenarios", "The least reliable first. The dashed line is the threshold.",
    ["scenario", `${Math.round(100 * low)} – 100 %`, "reliability", "interval", "passed", "verdict"], rows);
}

function tags(scenario, summary) {
  const { judge, user } = summary.simulators ?? {};
  const early = endsEarly(summary) && !summary.interrupted && scenario.planned > scenario.episodes;
  const cut = summary.not_played?.some((left) => left.name === scenario.name);
  return [
    scenario.xfail ? "expected to fail" : null,
    early ? `${cut ? "cut short" : "ended"} after ${number(scenario.episodes)} of ${number(scenario.planned)}` : null,
    judge?.scenarios.includes(scenario.name) ? ["judged by ", inline(judge.models.join(", "))] : null,
    user?.scenarios.includes(scenario.name) ? ["user: ", inline(user.models.join(", "))] : null,
  ].filter(Boolean);
}

const FAULTS = { wrong_arguments: "wrong arguments", not_allowed: "not allowed", missing: "missing", raised: "raised" };

// A model may call tools by names of its own, without end.
const MOST_TOOLS = 60;

function tools(report, choose) {
  if (!report.summary.tools.length) return null;
  const worst = (tool) => Object.keys(FAULTS).reduce((sum, name) => sum + tool[name], 0);
  const sorted = [...report.summary.tools].sort((a, b) => worst(b) - worst(a) || b.calls - a.calls);
  // Calls that wait for a person are no fault, and seldom.
  const waits = sorted.some((tool) => tool.waiting);
  const rows = sorted.slice(0, MOST_TOOLS).map((tool) => {
    const share = tool.correct_rate?.value == null ? null : tool.correct_rate;
    return element("tr", {},
      element("th", { scope: "row" }, button(inline(tool.name || "(no name)"), () => choose({ tool: tool.name }), { class: "link code" })),
      element("td", { "data-title": "calls" }, number(tool.calls)),
      element("td", { "data-title": "correct" }, share ? percent(share.value) : "–"),
      element("td", { "data-title": "interval", class: "quiet" }, share ? interval(share) : "–"),
      Object.entries(FAULTS).map(([name, title]) => heatCell(tool, name, title, choose)),
      waits ? element("td", { "data-title": "waiting" }, tool.waiting
        ? button(number(tool.waiting), () => choose({ tool: tool.name, fault: "waiting" }), { class: "link" }) : "·") : null,
      element("td", { "data-title": "median", class: "quiet" }, duration(tool.latency.median)),
      element("td", { "data-title": "95th percentile", class: "quiet" }, duration(tool.latency.p95)));
  });
  const more = sorted.length > MOST_TOOLS ? ` The ${MOST_TOOLS} of ${number(sorted.length)} with the most faults are shown.` : "";
  return section("tools", "Tools", "What went wrong, per tool: the stronger the colour, the larger the share of its calls (missing: of what was asked for)." + more,
    ["tool", "calls", "correct", "interval", ...Object.values(FAULTS), ...(waits ? ["waiting"] : []), "median", "p95"], rows);
}

function heatCell(tool, name, title, choose) {
  const often = tool[name];
  const share = often / Math.max(1, tool.calls + tool.missing);
  const cell = element("td", { "data-title": title, class: "heat" }, often
    ? button(number(often), () => choose({ tool: tool.name, fault: name }), {
      "aria-label": `${often} times ${title}, ${percent(share)}: ${tool.name}`, title: percent(share),
    })
    : element("span", { class: "nothing" }, "·"));
  // Small shares must differ from none.
  if (often) cell.style.setProperty("--heat", (0.14 + 0.58 * Math.sqrt(Math.min(1, share))).toFixed(3));
  return cell;
}

const MOST_CHECKS = 12;

function erroredChecks(report) {
  const found = [];
  for (const scenario of report.summary.scenarios) {
    for (const check of scenario.checks) if (check.crashes) found.push({ scenario, check });
  }
  if (!found.length) return null;
  found.sort((a, b) => b.check.crashes - a.check.crashes);
  const rows = found.slice(0, MOST_CHECKS).map(({ scenario, check }) => element("tr", {},
    element("th", { scope: "row" }, inline(check.text),
      element("span", { class: "under" }, name(shortName(scenario.name)), `, line ${check.line}`)),
    element("td", { class: "wide" }, inline(check.crash || "")),
    element("td", { "data-title": "errored" }, String(check.crashes))));
  return section("errored-checks", "Errored checks",
    "The project's own code raised in them: these episodes do not count.",
    ["check", "raised", "errored"], rows);
}

function failedChecks(report, choose) {
  const found = [];
  for (const scenario of report.summary.scenarios) {
    for (const check of scenario.checks) {
      // Early versions knew of no crashes.
      const missed = check.failed + check.errored - (check.crashes || 0);
      if (missed) found.push({ scenario, check, missed, judged: missed + check.passed });
    }
  }
  if (!found.length) return null;
  found.sort((a, b) => b.missed - a.missed);
  const number = ({ scenario, check }) => report.checks.findIndex((known) =>
    report.scenarios[known.scenario] === scenario.name && known.file === check.file
    && known.line === check.line && known.text === check.text);
  const rows = found.slice(0, MOST_CHECKS).map((each) => {
    const bar = drawn("svg", { class: "bar", "aria-hidden": "true" },
      drawn("rect", { x: 0, y: "25%", height: "50%", rx: 2, width: percentage(each.missed / each.judged) }));
    return element("tr", {},
      element("th", { scope: "row" },
        button(inline(each.check.text), () => choose({ check: String(number(each)), scenario: each.scenario.name }), { class: "link code" }),
        element("span", { class: "under" }, name(shortName(each.scenario.name)), `, line ${each.check.line}`, each.check.must ? [" · required: ", inline(each.check.must)] : [])),
      element("td", { class: "wide" }, bar),
      element("td", { "data-title": "failed" }, `${each.missed}/${each.judged}`));
  });
  return section("checks", "Failed checks",
    found.length > MOST_CHECKS ? `The ${MOST_CHECKS} commonest of ${found.length}.` : "The commonest first.",
    ["check", "share", "failed"], rows);
}

function section(id, title, hint, columns, rows) {
  return element("section", { id, "aria-labelledby": `${id}-title` },
    element("h2", { id: `${id}-title` }, title),
    element("p", { class: "hint" }, hint),
    element("table", {},
      element("thead", {}, element("tr", {}, columns.map((name) => element("th", { scope: "col" }, name)))),
      element("tbody", {}, rows)));
}
