// The learning curve of each training, the newest first.

const SHOWN_TRAININGS = 4;
const MORE_TRAININGS = 20;

function trainings(runs) {
  const trained = runs.filter((run) => run.what === "trained").reverse();
  if (!trained.length) return null;
  const list = element("div", { class: "trainings" });
  const node = element("section", { id: "trainings", "aria-labelledby": "trainings-title" },
    element("h2", { id: "trainings-title" }, "Trainings"),
    element("p", { class: "legend" },
      element("span", { class: "key point" }), "held-out cases, with interval ",
      element("span", { class: "key curve" }), "training cases, running estimate ",
      element("span", { class: "key batch" }), "episodes of one update ",
      element("span", { class: "key limit" }), "target"),
    list);
  more(node, list, trained, SHOWN_TRAININGS, trainingCard, "training", MORE_TRAININGS);
  return node;
}

function trainingCard(run) {
  const training = run.training ?? {};
  const updates = run.updates ?? [];
  const drawable = updates.length || training.before || training.after;
  return element("article", { class: "training" },
    element("h3", {}, runName(run, agentName(training) ?? run.id)),
    element("p", { class: "hint" }, trainingFacts(run, training)),
    drawable ? fitted((width) => learningCurve(training, updates, width)) : null);
}

// The folder of an agent ends in its name and its version.
function agentName({ agent }) {
  const parts = (agent ?? "").split(/[\\/]/).filter(Boolean);
  return parts.length > 1 ? parts.slice(-2).join("_") : null;
}

function trainingFacts(run, training) {
  const gained = training.difference;
  const facts = [
    gained ? `${pointsInterval(gained)}` : null,
    training.updates === undefined ? null : count(training.updates, "update"),
    training.episodes === undefined ? null : count(training.episodes, "episode"),
    training.seconds === undefined ? null : duration(training.seconds),
    run.policy ? ["from ", inline(run.policy)] : null,
    run.problem ?? training.reason ? inline(run.problem ?? training.reason) : null,
    agentName(training) ? ["run ", inline(run.id)] : null,
    moment(run.started),
  ];
  return facts.filter(Boolean).flatMap((fact) => [" · ", fact]).slice(1);
}
