// Numbers for people.

function number(value) {
  return Math.round(value).toLocaleString("en-US");
}

// A share with one decimal, more where it would look like another one.
function percent(share, limit) {
  if (share === null || share === undefined) return "–";
  const others = [0, 1, limit].filter((x) => x !== undefined && x !== share);
  for (let digits = 1; ; digits += 1) {
    const text = (100 * share).toFixed(digits);
    if (digits === 11 || others.every((x) => (100 * x).toFixed(digits) !== text)) return `${text} %`;
  }
}

function interval(share) {
  return `${(100 * share.low).toFixed(1)}–${(100 * share.high).toFixed(1)} %`;
}

// A difference of two shares, in percentage points.
function points(share) {
  const text = Math.abs(100 * share).toFixed(1);
  return `${share < 0 && text !== "0.0" ? "−" : "+"}${text}`;
}

function pointsInterval(difference) {
  return `${points(difference.value)} points, interval ${points(difference.low)} to ${points(difference.high)}`;
}

// An amount of US dollars; of a small one two digits.
function dollars(amount) {
  if (amount === null || amount === undefined) return "–";
  if (amount >= 0.095 || !amount) return `$${amount.toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 })}`;
  return `$${amount.toFixed(1 - Math.floor(Math.log10(amount)))}`;
}

function threshold(share) {
  return `${+(100 * share).toFixed(8)} %`;
}

function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds >= 90) return `${+(seconds / 60).toFixed(1)} min`;
  if (seconds >= 1) return `${seconds.toFixed(seconds >= 10 ? 1 : 2)} s`;
  if (seconds >= 0.0001) return `${(1000 * seconds).toFixed(seconds >= 0.01 ? 0 : 1)} ms`;
  return `${Math.round(1e6 * seconds)} µs`;
}

function count(value, noun) {
  return value === 1 ? `1 ${noun}` : `${number(value)} ${noun}s`;
}

// The part of a scenario's name that tells it from its neighbours.
function shortName(scenario) {
  const place = scenario.indexOf("::");
  return place < 0 ? scenario : scenario.slice(place + 2);
}

const OUTCOMES = {
  failed: { label: "failed", mark: "✕", tone: "bad" },
  infra_error: { label: "infra error", mark: "!", tone: "other" },
  harness_error: { label: "harness error", mark: "!", tone: "other" },
  simulator_error: { label: "simulator error", mark: "!", tone: "other" },
  passed: { label: "passed", mark: "✓", tone: "good" },
};

function outcomeOf(name) {
  return OUTCOMES[name] ?? { label: name, mark: "?", tone: "other" };
}

function mark(tone, character, label) {
  return element("span", { class: `mark ${tone}`, role: "img", "aria-label": label }, character);
}
