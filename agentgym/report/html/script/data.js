// The page's blocks: base64 of zlib, read when they are needed.

const FLAGS = { called: 1, wrong_arguments: 2, not_allowed: 4, missing: 8, raised: 16, waiting: 32 };
const FLAG_BITS = 6;
const KEPT_CHUNKS = 6;

async function unpacked(block) {
  const bytes = fromBase64(block.textContent.slice(1, -1));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).text();
}

function fromBase64(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const raw = atob(text);
  const bytes = new Uint8Array(raw.length);
  for (let at = 0; at < raw.length; at += 1) bytes[at] = raw.charCodeAt(at);
  return bytes;
}

function blocks(name) {
  return [...document.querySelectorAll(`script[data-block="${name}"]`)];
}

async function readReport() {
  const report = JSON.parse(await unpacked(blocks("report")[0]));
  const rows = [];
  const places = [];
  for (const [chunk, [size]] of report.chunks.entries()) {
    for (let line = 0; line < size; line += 1) places.push({ chunk, line });
  }
  for (const block of blocks("rows")) {
    for (const row of JSON.parse(await unpacked(block))) rows.push(asRow(row, report, places[rows.length]));
  }
  return { ...report, rows, store: new Chunks(report.chunks) };
}

function asRow(row, names, place) {
  const [id, scenario, index, outcome, reward, seconds, tokens, phase, situation, calls, tools, failed, preview] = row;
  return {
    id, index, outcome, reward, seconds, tokens, calls, tools, failed, preview, place,
    scenario: names.scenarios[scenario],
    phase: names.phases[phase],
    case: situation,
  };
}

// The flags of a tool in an episode: 0 if it has nothing to do with it.
function flagsOf(row, tool) {
  const found = row.tools.find((packed) => packed >> FLAG_BITS === tool);
  return found === undefined ? 0 : found & ((1 << FLAG_BITS) - 1);
}

// In JSON as Python writes it, these stand for themselves.
const VERBATIM = /^[ !#-[\]-~]+$/;

// Trajectories by chunk; those that were looked at last are kept.
class Chunks {
  constructor(sizes) {
    this.sizes = sizes;
    this.blocks = blocks("chunk");
    this.lines = new Map();
  }

  async episode(place) {
    const lines = await this.read(place.chunk);
    return lines === null ? null : JSON.parse(lines[place.line]);
  }

  // Whether an episode says the words, which are in small letters; by line.
  async finder(chunk, query) {
    const lines = await this.read(chunk);
    if (lines === null) return () => false;
    const verbatim = VERBATIM.test(query);
    return (at) => (!verbatim || lines[at].toLowerCase().includes(query)) && said(lines[at]).includes(query);
  }

  async read(chunk) {
    const block = this.sizes[chunk][1];
    if (block === null) return null;
    let lines = this.lines.get(chunk);
    this.lines.delete(chunk);
    lines ??= unpacked(this.blocks[block]).then((text) => text.trimEnd().split("\n"));
    this.lines.set(chunk, lines);
    if (this.lines.size > KEPT_CHUNKS) this.lines.delete(this.lines.keys().next().value);
    return lines;
  }
}

function said(line) {
  const found = [];
  const collect = (value) => {
    if (typeof value === "string") found.push(value);
    else if (typeof value === "number" || typeof value === "boolean") found.push(String(value));
    else if (value && typeof value === "object") {
      for (const [key, item] of Object.entries(value)) {
        if (!Array.isArray(value)) found.push(key);
        collect(item);
      }
    }
  };
  const { id, scenario, trajectory, output, error, details, checks, simulators, case: situation } = JSON.parse(line);
  found.push(id, scenario, output ?? "", error ?? "", details ?? "", situation?.value ?? "");
  for (const check of checks) {
    if (check.status !== "passed") found.push(check.text, check.must ?? "", check.message ?? "");
  }
  for (const { criterion, reason } of simulators?.judge?.verdicts ?? []) found.push(criterion, reason);
  for (const message of [...(trajectory.history ?? []), ...trajectory.messages]) found.push(words(message.content));
  for (const step of trajectory.steps) {
    if (step.model) found.push(words(step.model.message?.content), step.model.error ?? "");
    for (const call of step.tool_calls) {
      found.push(call.name, call.malformed ?? "", call.error ?? "");
      collect(call.arguments);
      collect(call.result);
    }
  }
  return found.join("\n").toLowerCase();
}
