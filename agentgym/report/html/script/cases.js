// What came of cases: pass^k and pass@k, and the cases that failed most.

const MOST_ROWS = 60;

// The run, then each family with its parameter sets, then the other scenarios.
function kRows({ k_episodes: run, families = [], scenarios: all }) {
  const rest = new Set(all.filter((scenario) => !scenario.xfail && scenario.pass_k_cases));
  const rows = rest.size > 1 ? [{ title: "all scenarios", found: run }] : [];
  for (const family of families) {
    rows.push({ title: `${shortName(family.name)} (${family.scenarios} parameter sets)`, found: family });
    for (const scenario of rest) {
      if (!scenario.name.startsWith(`${family.name}[`)) continue;
      rest.delete(scenario);
      rows.push({ scenario: scenario.name, found: scenario });
    }
  }
  return [...rows, ...[...rest].map((scenario) => ({ scenario: scenario.name, found: scenario }))];
}

function severalEpisodes({ summary }, choose) {
  const run = summary.k_episodes;
  const ks = Object.keys(run?.pass_k_cases ?? {});
  if (!ks.some((k) => k !== "1" && run.pass_k_cases[k])) return null;
  const all = kRows(summary);
  const rows = all.slice(0, MOST_ROWS).map(({ title, scenario, found }) => element("tr", {},
    element("th", { scope: "row" }, scenario
      ? button(name(shortName(scenario)), () => choose({ scenario }), { class: "link", title: scenario })
      : name(title)),
    element("td", { "data-title": "cases", class: "quiet" }, number(Math.max(0, ...Object.values(found.pass_k_cases)))),
    [["pass^", found.pass_hat_k], ["pass@", found.pass_at_k]].map(([kind, shares]) => ks.map((k) =>
      element("td", { "data-title": `${kind}${k}` }, percent(shares[k]))))));
  const out = Object.entries(run.pass_k_left_out).filter(([, n]) => n).map(([k, n]) => `${count(n, "case")} for k = ${k}`);
  const left = out.length ? ` Left out, as they have fewer episodes: ${out.join("; ")}.` : "";
  const more = all.length > MOST_ROWS ? ` ${count(all.length - MOST_ROWS, "more row")} in summary.json.` : "";
  return section("several", "Several episodes of a case",
    `All (pass^k), or any (pass@k), of k episodes of a case pass: the mean over the cases.${left}${more}`,
    ["scenario", "cases", ...["pass^", "pass@"].flatMap((kind) => ks.map((k) => `${kind}${k}`))], rows);
}

function failedCases({ summary }, choose) {
  const found = [];
  let left = 0;
  for (const { name: scenario, case_results: results = [], case_results_left_out: out = 0 } of summary.scenarios) {
    left += out;
    for (const result of results) {
      if (result.failed && result.case !== null) found.push({ scenario, ...result });
    }
  }
  if (!found.length) return null;
  found.sort((a, b) => b.failed - a.failed);
  const rows = found.slice(0, MOST_ROWS).map((each) => {
    const bar = drawn("svg", { class: "bar", "aria-hidden": "true" },
      drawn("rect", { x: 0, y: "25%", height: "50%", rx: 2, width: percentage(each.failed / (each.passed + each.failed)) }));
    return element("tr", {},
      element("th", { scope: "row" },
        button(inline(each.case), () => choose({ scenario: each.scenario, case: each.case }), { class: "link code" }),
        element("span", { class: "under" }, name(shortName(each.scenario)))),
      element("td", { class: "wide" }, bar),
      element("td", { "data-title": "passed" }, number(each.passed)),
      element("td", { "data-title": "failed" }, number(each.failed)),
      element("td", { "data-title": "not counted", class: "quiet" }, number(each.other)));
  });
  const more = found.length + left - rows.length;
  return section("cases", "Cases that failed most",
    more > 0 ? `${number(more)} more are in summary.json, 256 of a scenario at most.` : "Each leads to its episodes.",
    ["case", "share", "passed", "failed", "not counted"], rows);
}
