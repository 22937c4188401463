// The page over all runs: its head, what is shown of them, and the sections.

async function start() {
  const page = document.getElementById("page");
  if (typeof DecompressionStream === "undefined") {
    document.getElementById("loading").textContent =
      "This browser is too old to read the page: use Chrome 80, Firefox 113, Safari 16.4 or a newer one.";
    return;
  }
  const report = JSON.parse(await unpacked(blocks("report")[0]));
  for (const run of report.runs) {
    const found = (run.scenarios ?? []).map((row) => asScenario(row, report.scenarios));
    run.byName = new Map(found.map((scenario) => [scenario.name, scenario]));
  }
  const shown = element("div", {});
  const state = { scenario: null, query: "", policy: "", what: "" };
  const draw = () => {
    const runs = report.runs.filter((run) =>
      (!state.policy || run.policy === state.policy) && (!state.what || run.what === state.what));
    shown.replaceChildren(...[
      reliabilityHistory(runs, state), trainings(runs), runTable(runs),
    ].filter(Boolean));
  };
  state.choose = (scenario) => {
    state.scenario = scenario;
    draw();
    document.getElementById("history").scrollIntoView();
  };
  page.replaceChildren(projectHead(report), choices(report, state, draw), shown, made(report));
  draw();
  document.documentElement.dataset.ready = String(Math.round(performance.now()));
}

function projectHead({ project, runs, scenarios }) {
  const latest = runs.findLast((run) => run.reliability);
  return element("header", { class: "hero" },
    element("p", { class: "eyebrow" }, "agentgym · project ", inline(project), ` · ${count(runs.length, "run")}`),
    latest ? latestRun(latest) : element("p", {}, "No run came to its end."),
    element("dl", { class: "facts" }, projectFacts(runs, scenarios).map(([title, value]) =>
      element("div", {}, element("dt", {}, title), element("dd", {}, value)))));
}

function latestRun(run) {
  const share = run.reliability;
  return [
    element("div", { class: "headline" },
      element("h1", {}, element("span", { class: "figure" }, percent(share.value, share.threshold)),
        element("span", { class: "caption" }, "tool reliability of the latest run")),
      element("div", { class: "chips" }, gateChip(run))),
    intervalBar(share, share.threshold, run.met, spoken({ run, share })),
    element("p", { class: "scale", "aria-hidden": "true" }, element("span", {}, "0 %"), element("span", {}, "100 %")),
    element("p", {}, "Run ", runName(run), run.policy ? [" of ", inline(run.policy)] : null, `, ${moment(run.started)}.`),
  ];
}

function projectFacts(runs, scenarios) {
  const those = (what) => runs.filter((run) => run.what === what).length;
  const unread = runs.filter((run) => run.problem).length;
  return [
    ["measured", count(those("measured") + those("compared"), "run")],
    ["trained", count(those("trained"), "run")],
    ["scenarios", number(scenarios.length)],
    ["episodes", number(runs.reduce((sum, run) => sum + (run.episodes ?? 0), 0))],
    ["since", runs.length ? day(runs[0].started) : "–"],
    ["cannot be read", unread ? count(unread, "run") : "none"],
  ];
}

// What of the runs is shown: kinds, policies, scenarios by a part of their names.
function choices(report, state, draw) {
  const policies = [...new Set(report.runs.map((run) => run.policy).filter(Boolean))].sort();
  const kinds = [...new Set(report.runs.map((run) => run.what))].filter((what) => what !== "-").sort();
  const menu = (key, title, values) => element("select", {
    id: `filter-${key}`, "aria-label": title,
    change: (event) => { state[key] = event.target.value; draw(); },
  }, element("option", { value: "" }, title), values.map((value) => element("option", { value }, value.replace(STEERING, visible))));
  return element("div", { class: "filters" },
    element("input", {
      id: "filter-query", type: "search", placeholder: "Scenarios with this in their names", "aria-label": "Scenarios with this in their names",
      input: (event) => { state.query = event.target.value; draw(); },
    }),
    menu("policy", "All policies", policies), menu("what", "All kinds of runs", kinds));
}

function made({ made: when, version }) {
  return element("footer", { id: "notes" },
    element("p", { class: "hint" }, `Made ${moment(when)} by agentgym ${version}. Run "agentgym view" again for what has happened since.`));
}

start().catch((error) => {
  document.getElementById("page").prepend(`This page cannot be read: ${error}`);
});
