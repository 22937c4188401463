// Tokens and money: of the run, and of each scenario.

function cost(report) {
  const { summary } = report;
  const spent = summary.cost;
  const judges = spent?.judges;
  if (!(tokens(spent) || tokens(judges))) return null;
  const priced = summary.scenarios.some((scenario) => scenario.cost.usd);
  const played = summary.scenarios.filter((scenario) => tokens(scenario.cost))
    .sort((a, b) => perPassed(b) - perPassed(a) || a.name.localeCompare(b.name));
  const cell = (title, value) => element("td", { "data-title": title }, value);
  const rows = played.map((scenario) => {
    const { per_episode: each, per_passed: passed } = scenario.cost;
    return element("tr", {},
      element("th", { scope: "row" }, name(shortName(scenario.name))),
      cell("in per episode", number(each.input_tokens)),
      cell("out per episode", number(each.output_tokens)),
      cell("tokens per passed", scenario.passed ? number(perPassed(scenario)) : "–"),
      priced ? [cell("$ per episode", dollars(each.usd)), cell("$ per passed", dollars(passed.usd))] : []);
  });
  const columns = ["in per episode", "out per episode", "tokens per passed", ...(priced ? ["$ per episode", "$ per passed"] : [])];
  return section("cost", "Cost", sentences(spent, judges).join(" "), ["scenario", ...columns], rows);
}

function tokens(usage) {
  return usage ? usage.input_tokens + usage.output_tokens : 0;
}

// One that never passed took more than any number.
function perPassed({ cost: spent, passed }) {
  return passed ? tokens(spent) / passed : Infinity;
}

function took(usage) {
  return `${number(usage.input_tokens)} tokens in, ${number(usage.output_tokens)} out${usage.usd ? `, ${dollars(usage.usd)}` : ""}`;
}

function sentences(spent, judges) {
  const lines = [];
  if (tokens(spent)) {
    const each = spent.per_passed.usd ? ` (${dollars(spent.per_passed.usd)} per passed episode)` : "";
    lines.push(`The agent took ${took(spent)}${each}.`);
  }
  if (tokens(judges)) lines.push(`Judges and simulated users took ${took(judges)}.`);
  if (spent.usd && judges?.usd) lines.push(`Together: ${dollars(spent.total.usd)}.`);
  const unpriced = Object.entries({ ...judges?.unpriced, ...spent.unpriced }).filter(([, n]) => n).map(([model]) => plain(model));
  if (unpriced.length) lines.push(`No price is known for ${unpriced.sort().join(", ")}.`);
  if (spent.local_calls) lines.push("The policy runs on the user's machine and costs nothing.");
  const silent = spent.silent_calls + (judges?.silent_calls ?? 0);
  if (silent) lines.push(`${count(silent, "model call")} reported no tokens.`);
  return lines;
}
