// All runs, the newest first, those that cannot be read, too.

const SHOWN_RUNS = 50;

function runTable(runs) {
  const node = section("runs", "Runs", "The newest first. The dashed line is the threshold.",
    ["run", "0 – 100 %", "reliability", "interval", "gate", "episodes", "started"], []);
  more(node, node.querySelector("tbody"), [...runs].reverse(), SHOWN_RUNS, runRow, "run");
  return node;
}

function runRow(run) {
  const share = run.reliability;
  const measured = share && share.value !== null;
  return element("tr", {},
    element("th", { scope: "row" }, runName(run), " ", element("span", { class: "tag" }, run.what === "-" ? run.state : run.what),
      run.problem || run.policy ? element("span", { class: "under" }, inline(run.problem ?? run.policy)) : null),
    element("td", { class: "wide" }, measured ? intervalBar(share, share.threshold, run.met, spoken({ run, share })) : null),
    element("td", { "data-title": "reliability" }, measured ? element("strong", {}, percent(share.value, share.threshold)) : "–"),
    element("td", { "data-title": "interval", class: "quiet" }, measured ? interval(share) : "–"),
    element("td", { "data-title": "gate" }, gateWord(run)),
    element("td", { "data-title": "episodes", class: "quiet" }, run.episodes === undefined ? "–" : number(run.episodes)),
    element("td", { "data-title": "started", class: "quiet" }, moment(run.started)));
}

const GATE = { good: ["✓", "met"], bad: ["✕", "not met"], plain: ["–", "not judged"] };

function gateWord(run) {
  if (run.state !== "finished") return element("span", { class: "quiet" }, run.state);
  const tone = toneOf(run.met);
  const [sign, words] = GATE[tone];
  return element("span", { class: `gate ${tone}`, title: run.sentence }, `${sign} ${words}`);
}
