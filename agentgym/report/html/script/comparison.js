// What changed since the baseline: the run, its scenarios, and the cases to look at.

const MOST_CASES = 10;
const DROPS = { WITHIN: ["good", "✓ "], EXCEEDED: ["bad", "✕ "] };

function comparison(report, choose, visit) {
  const found = report.summary.baseline;
  if (!found) return null;
  const limit = found.max_drop;
  const [tone, sign] = DROPS[limit?.verdict] ?? ["plain", ""];
  const shared = found.scenarios.filter((scenario) => scenario.difference)
    .sort((a, b) => a.difference.value - b.difference.value || a.name.localeCompare(b.name));
  const ends = shared.flatMap(({ difference }) => [Math.abs(difference.low), Math.abs(difference.high)]);
  const most = Math.max(0.1, Math.ceil(10 * Math.max(0, ...ends)) / 10);
  const rows = shared.map(({ name: scenario, difference }) => element("tr", {},
    element("th", { scope: "row" },
      button(name(shortName(scenario)), () => choose({ scenario }), { class: "link", title: scenario }),
      limit?.scenarios.includes(scenario) ? element("span", { class: "tag" }, "drop exceeded") : null),
    element("td", { class: "wide" }, differenceBar(difference, most, pointsInterval(difference))),
    element("td", { "data-title": "before", class: "quiet" }, percent(difference.before)),
    element("td", { "data-title": "now", class: "quiet" }, percent(difference.after)),
    element("td", { "data-title": "points" }, element("strong", {}, points(difference.value))),
    element("td", { "data-title": "interval", class: "quiet" }, `${points(difference.low)} to ${points(difference.high)}`)));
  const title = "Against the baseline";
  const intro = [
    compared(found),
    limit ? element("span", { class: `chip small ${tone}`, id: "drop" }, `${sign}drop ${limit.verdict.toLowerCase()}: at most ${count(+(100 * limit.limit).toFixed(8), "point")} allowed`) : null,
  ];
  const node = rows.length
    ? section("baseline", title, intro, ["scenario", `−${Math.round(100 * most)} – +${Math.round(100 * most)} points`, "before", "now", "points", "interval"], rows)
    : element("section", { id: "baseline", "aria-labelledby": "baseline-title" }, element("h2", { id: "baseline-title" }, title), element("p", {}, intro));
  node.append(
    element("div", { class: "changed" }, changedPrompts(found.prompts ?? [])),
    element("div", { class: "changed" },
      changed("Newly failing", found.newly_failing, report, visit),
      changed("Newly fixed", found.newly_fixed, report, visit)),
    ...found.notes.map((text) => element("p", { class: "hint" }, inline(text))));
  return node;
}

function changedPrompts(changes) {
  if (!changes.length) return [];
  const items = changes.slice(0, MOST_CASES).map((each) => element("li", {},
    inline(each.sentence), element("span", { class: "quiet" }, ` in ${each.scenarios.map(shortName).join(", ")}`),
    each.diff.length ? passage(each.diff.join("\n"), { class: "code" }) : null));
  return element("div", {}, element("h3", {}, "What models are asked by"), element("ul", {}, items));
}

function compared({ before, difference }) {
  const run = ["run ", inline(before.run), before.policy ? [" of ", inline(before.policy)] : []];
  if (!difference) return ["Nothing can be compared with ", run, ". "];
  const how = difference.paired ? count(difference.episodes, "pair") : "not paired";
  return [element("strong", {}, `${points(difference.value)} points`),
    ` (${points(difference.low)} to ${points(difference.high)}), ${how}: ${percent(difference.before)} in `, run, `, ${percent(difference.after)} now. `];
}

function changed(title, cases, report, visit) {
  if (!cases.length) return [];
  const known = new Set(report.rows.map((row) => row.id));
  const items = cases.slice(0, MOST_CASES).map((each) => {
    const id = each.episodes[1];
    const label = [name(shortName(each.scenario)), " ", caseName(each.case)];
    return element("li", {},
      known.has(id) ? button(label, () => visit(id), { class: "link" }) : label,
      element("span", { class: "quiet" }, ` passed ${each.before.passed}/${each.before.counted}, now ${each.after.passed}/${each.after.counted}`));
  });
  const more = cases.length - items.length;
  return element("div", {},
    element("h3", {}, `${title}: ${count(cases.length, "case")}`),
    element("ul", {}, items),
    more > 0 ? element("p", { class: "hint" }, `and ${number(more)} more: agentgym compare shows them`) : null);
}

function caseName(played) {
  return `${played.split ?? "case"}-${played.index}`;
}
