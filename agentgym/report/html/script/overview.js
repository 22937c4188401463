// The verdict, what a training did, and the notes.

function head(report) {
  const { summary } = report;
  const reliability = summary.reliability;
  const judged = summary.scenarios.filter((scenario) => !scenario.xfail);
  const passed = judged.reduce((sum, s) => sum + s.outcomes.passed, 0);
  const counted = judged.reduce((sum, s) => sum + s.outcomes.passed + s.outcomes.failed, 0);
  const verdict = reliability.verdict;
  const qualifier = summary.decision.qualifier;
  const sure = threshold(summary.confidence);
  // A scenario that fails ends early, and would weigh too little among all episodes.
  const mean = endsEarly(summary) && judged.length > 1 ? `Mean of ${judged.length} scenarios; ` : "";
  return element("header", { class: "hero" },
    element("p", { class: "eyebrow" }, "agentgym · run ", inline(summary.run), summary.policy ? [" · policy ", inline(summary.policy)] : []),
    element("div", { class: "headline" },
      element("h1", {}, element("span", { class: "figure" }, percent(reliability.value, reliability.threshold)),
        element("span", { class: "caption" }, "tool reliability")),
      element("div", { class: "chips" },
        gateChip(summary.decision),
        verdict ? element("span", { class: "chip plain", id: "verdict" }, `${verdict} at ${sure} confidence${qualifier ? `, ${qualifier}` : ""}`) : null)),
    intervalBar(reliability, reliability.threshold, summary.decision.met,
      counted ? `${percent(reliability.value)}, ${sure} interval ${interval(reliability)}` : "no episode counts"),
    element("p", { class: "scale", "aria-hidden": "true" }, element("span", {}, "0 %"), element("span", {}, "100 %")),
    element("p", {}, counted
      ? `${mean}${number(passed)} of ${count(counted, "episode")} passed. ${sure} interval ${interval(reliability)}, threshold ${threshold(reliability.threshold)}.`
      : "No episode counts.", stoppedEarly(summary)),
    gateReasons(summary.decision),
    summary.gate_odds ? element("p", { id: "odds", class: "hint" }, inline(capitalised(summary.gate_odds)), ".") : null,
    facts(summary));
}

const MOST_REASONS = 10;

function capitalised(sentence) {
  return `${sentence[0].toUpperCase()}${sentence.slice(1)}`;
}

// What the run's summary has decided.
function gateChip({ met, sentence }) {
  const kind = met === null ? "plain" : met ? "good" : "bad";
  const sign = met === null ? mark("", "–", "not judged") : met ? mark("", "✓", "met") : mark("", "✕", "not met");
  return element("span", { class: `chip ${kind}`, id: "gate" }, sign, ` ${capitalised(sentence)}`);
}

function gateReasons({ reasons: all }) {
  const named = all.filter((reason) => reason.scenario !== null);
  if (!named.length) return null;
  const more = named.length - MOST_REASONS;
  return element("ul", { id: "reasons" },
    named.slice(0, MOST_REASONS).map(({ scenario, sentence }) => element("li", {}, inline(scenario), ": ", inline(sentence))),
    more > 0 ? element("li", {}, `and ${more} more`) : null);
}

function facts(summary) {
  const started = new Date(1000 * summary.started);
  const lost = Object.entries(summary.episodes).filter(([name, n]) => n && name.endsWith("_error"));
  const pairs = [
    ["started", started.toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" })],
    ["took", duration(summary.training?.seconds ?? summary.seconds)],
    ["seed", String(summary.seed)],
    ["mean reward", summary.mean_reward === null ? "–" : summary.mean_reward.toFixed(3)],
    ...simulatorFacts(summary.simulators),
    ["cost", summary.cost?.total?.usd ? dollars(summary.cost.total.usd) : null],
    ["not counted", lost.length ? lost.map(([name, n]) => `${n} ${outcomeOf(name).label}`).join(", ") : "none"],
    ["skipped", summary.skipped?.length ? summary.skipped.map((one) =>
      `${one.skipped} of ${count(one.planned, "episode")} of ${shortName(one.name)}`).slice(0, 5).join(", ") : null],
  ];
  return element("dl", { class: "facts" },
    pairs.filter(([, value]) => value !== null).map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value))));
}

// Of a run whose scenarios end when their verdicts are certain.
function stoppedEarly(summary) {
  const played = Object.values(summary.episodes).reduce((sum, n) => sum + n, 0);
  if (!endsEarly(summary) || summary.interrupted || !(summary.planned > played)) return null;
  const left = summary.not_played?.length;
  const why = left
    ? `the run is certain to be below its threshold, whatever ${count(left, "scenario")} that did not end would do`
    : "a scenario ends when its verdict is certain";
  return ` Stopped after ${number(played)} of at most ${count(summary.planned, "episode")}: ${why}.`;
}

function simulatorFacts(simulators) {
  const { judge, user } = simulators ?? {};
  const models = (role) => [...role.models.map(inline).flatMap((model) => [", ", model]).slice(1), ", "];
  return [
    ["judge", judge ? [models(judge), `${count(judge.verdicts, "verdict")}, ${number(judge.cached)} cached`] : null],
    ["simulated user", user ? [models(user), count(user.messages, "message")] : null],
  ];
}

function learning(report) {
  const training = report.summary.training;
  if (!training) return null;
  const gained = training.difference;
  return element("section", { id: "learning", "aria-labelledby": "learning-title" },
    element("h2", { id: "learning-title" }, "Learning"),
    gained ? element("p", {}, element("strong", {}, `${points(gained.value)} points`),
      ` (${points(gained.low)} to ${points(gained.high)}) on the same ${gained.cases ? `${count(gained.cases, "held-out case")}, for others of their kind,` : "held-out cases,"} after ${count(training.updates ?? 0, "update")} and ${count(training.episodes ?? 0, "episode")}: `, inline(training.reason ?? "it ended"), ".") : null,
    looks(training),
    solved(training.per_passed),
    signs(training.signs ?? []),
    fitted((width) => learningCurve(training, report.updates, width)),
    element("p", { class: "legend" },
      element("span", { class: "key point" }), "held-out cases, with interval ",
      element("span", { class: "key curve" }), "training cases, running estimate ",
      element("span", { class: "key batch" }), "episodes of one update ",
      element("span", { class: "key limit" }), `target ${threshold(training.target ?? 1)}`),
    element("p", { class: "hint" }, "Training plays difficult cases more often, so its episodes pass less often than held-out ones."));
}

// What is certain after all looks at held-out cases; early versions did not know it.
function looks({ at_least: sure, looks: taken, gate, met, target }) {
  if (sure === undefined || sure === null) return null;
  const certified = gate === "certified" ? ` ${threshold(target)} is ${met ? "" : "not "}certified.` : "";
  return element("p", { id: "looks", class: "hint" },
    `${taken ? count(taken, "look") : "No look"} at held-out cases after training: at least ${percent(sure)}, at 95 % confidence over all of them.${certified}`);
}

// What a passed episode took; early versions did not know it.
function solved(costs) {
  const { before, after } = costs ?? {};
  if (!before || !after) return null;
  const priced = Object.keys(before.usd).map((model) => [`dollars at the price of ${model}`, dollars, (cost) => cost.usd[model]]);
  const rows = [["tokens", number, (cost) => cost.tokens], ["tool calls", number, (cost) => cost.tool_calls], ...priced];
  const words = rows.map(([name, shown, of]) => `${shown(of(after))} ${name} (${shown(of(before))} before)`);
  return element("p", { id: "solved", class: "hint" }, `A passed episode takes ${words.join(", ")}.`);
}

// Signs of reward hacking; early versions did not look for any.
function signs(all) {
  if (!all.length) return null;
  return element("div", { id: "signs" },
    element("h3", {}, `${capitalised(count(all.length, "sign"))} of reward hacking`),
    element("p", { class: "hint" }, "Ways to pass that training has brought: read some of these episodes before you trust the reliability above."),
    element("ul", {}, all.map(({ title, scenario, sentence, since }) => element("li", {},
      element("strong", {}, scenario ? inline(shortName(scenario)) : "All scenarios together"),
      " (", inline(title), `, since update ${since}): `, inline(sentence), "."))));
}

// Draws anew for another width, so that its letters keep their size.
function fitted(draw, most = 860) {
  const frame = element("div", { class: "chart" });
  let width = 0;
  new ResizeObserver(() => {
    const now = Math.min(most, frame.clientWidth);
    if (now && now !== width) frame.replaceChildren(draw(width = now));
  }).observe(frame);
  return frame;
}

function notes(report) {
  const { summary } = report;
  const texts = [...report.notes, ...(summary.warnings ?? []), ...(summary.usage_errors ?? [])];
  const versions = Object.entries(summary.versions ?? {}).map(([name, version]) => `${name} ${version}`);
  return element("footer", { id: "notes" },
    texts.length ? [element("h2", {}, "Notes"), element("ul", {}, texts.map((text) => element("li", {}, inline(text))))] : [],
    element("p", { class: "hint" }, versions.join(" · ")));
}

// Whether scenarios ended when their verdicts were certain.
function endsEarly(summary) {
  return (summary.stop ?? "fixed") !== "fixed";
}
