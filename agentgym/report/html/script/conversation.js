// One episode as a conversation, with its failed checks beside what they are about.

// Who said what, in order: messages have the words, steps the calls.
function turnsOf(trajectory) {
  const messages = trajectory.messages.filter((message) => message.role !== "tool");
  const turns = [];
  const say = (message) => turns.push({ message });
  for (const step of trajectory.steps) {
    while (messages.length && messages[0].role !== "assistant") say(messages.shift());
    const answer = step.model?.message;
    if (messages.length && answer && (words(messages[0].content) === words(answer.content))) messages.shift();
    turns.push({ step });
  }
  messages.forEach(say);
  return turns;
}

// Which turn, and which call of it, a failed check is about; none where nothing tells.
function placeOf(check, turns) {
  const calls = turns.flatMap((turn) => (turn.step?.tool_calls ?? []).map((call) => ({ turn, call })));
  const asked = /\bcalled\(\s*(['"])(.+?)\1/.exec(check.text)?.[2]
    ?? /\bcalled ([\w.-]+)\(/.exec(check.message ?? "")?.[1];
  if (asked !== undefined) {
    const found = calls.filter(({ call }) => call.name === asked);
    const forbidden = /\bnot\s+[\w.]+\.called\(/.test(check.text);
    return (forbidden ? found[0] : found.at(-1)) ?? null;
  }
  if (/\.reply\b/.test(check.text)) {
    const turn = turns.findLast(({ step, message }) =>
      (message?.role === "assistant") || words(step?.model?.message?.content));
    return turn ? { turn, call: null } : null;
  }
  return null;
}

function conversation(episode, report) {
  const turns = turnsOf(episode.trajectory);
  const beside = new Map();
  const general = [];
  for (const check of episode.checks) {
    if (check.status !== "failed" && check.status !== "errored") continue;
    const place = placeOf(check, turns);
    const at = place && (place.call ?? place.turn);
    if (at) beside.set(at, [...(beside.get(at) ?? []), check]);
    else general.push(check);
  }
  const answers = new Map(episode.trajectory.messages
    .filter((message) => message.role === "tool").map((message) => [message.tool_call_id, words(message.content)]));
  const notesOn = (at) => (beside.get(at) ?? []).map(failedCheck);
  const before = episode.trajectory.history ?? [];
  const asked = (episode.trajectory.interrupts ?? []).map(asksPerson);
  const prompted = new Map();
  const items = turns.map((turn) => element("li", {},
    turn.step?.model ? askedBy(turn.step.model, prompted, report.prompts ?? {}) : null,
    turn.message ? spoken(turn.message) : played(turn.step, answers, notesOn), notesOn(turn)));
  if (!items.length) items.push(element("li", { class: "hint" }, "No message and no tool call was recorded."));
  return [
    episode.cut ? element("p", { class: "notice" }, "Long texts of this episode are cut here; episodes.jsonl has more.") : null,
    before.length ? element("details", { class: "turn system" }, element("summary", {}, `Before the episode: ${count(before.length, "message")}`), before.map(spoken)) : null,
    element("ol", { class: "turns" }, items),
    asked,
    general.length ? element("div", { class: "general" }, element("h4", {}, "Failed checks of the whole episode"), general.map(failedCheck)) : null,
    ending(episode),
  ];
}

const SPEAKERS = { user: "User", assistant: "Agent", system: "Instructions", developer: "Instructions" };

function spoken(message) {
  const who = SPEAKERS[message.role] ?? String(message.role);
  const text = words(message.content);
  if (who === "Instructions") {
    return element("details", { class: "turn system" }, element("summary", {}, who), passage(text));
  }
  return element("div", { class: `turn ${message.role === "user" ? "user" : "agent"}` },
    element("div", { class: "who" }, who), passage(text || "(nothing)"));
}

// The system prompt and the tools of a call, where an agent's last call had others.
function askedBy(model, asked, prompts) {
  const path = (model.path ?? []).join("/");
  const now = `${model.system ?? ""} ${model.tools ?? ""}`;
  if (asked.get(path) === now) return null;
  asked.set(path, now);
  const { system } = prompts[model.system] ?? {};
  const { tools } = prompts[model.tools] ?? {};
  if (!system && !tools) return null;
  const parts = [system ? "system prompt" : null, tools ? count(tools.length, "tool") : null].filter(Boolean);
  return element("details", { class: "turn system" },
    element("summary", {}, `Asked by: ${parts.join(", ")}`),
    system ? passage(system) : null,
    (tools ?? []).map((tool) => element("details", {},
      element("summary", {}, element("span", { class: "tool" }, inline(tool.name)), " ", inline(tool.description)),
      passage(tool.parameters, { class: "code" }))));
}

function played(step, answers, notesOn) {
  const { model } = step;
  const path = model?.path ?? step.tool_calls[0]?.path ?? [];
  const text = words(model?.message?.content);
  const silent = !text && step.tool_calls.length > 0;
  const node = element("div", { class: "turn agent" },
    element("div", { class: "who" }, "Agent", nested(path), model ? meta(model) : null),
    model?.message?.reasoning_content
      ? element("details", { class: "reasoning" }, element("summary", {}, "Reasoning"), passage(words(model.message.reasoning_content))) : null,
    silent || (!model && !text) ? null : model?.error ? null : passage(text || "(nothing)"),
    model?.error ? passage(model.error, { class: "error" }) : null,
    step.tool_calls.map((call) => [toolCall(call, answers, path), notesOn(call)]));
  if (path.length) node.style.setProperty("--depth", Math.min(path.length, 4));
  return node;
}

// Where the agent stopped to ask a person, and what that person said.
function asksPerson({ value, answer }) {
  return element("div", { class: "turn" },
    element("div", { class: "who" }, "Interrupt"),
    passage(typeof value === "string" ? value : JSON.stringify(value, null, 1), { class: "code" }),
    element("p", { class: "hint" }, answer === null ? "The agent waits for a person." : ["A person answered: ", inline(answer)]));
}

function nested(path) {
  return path.length ? element("span", { class: "path", title: "nested agents" }, path.map((name, at) => [at ? " › " : "", inline(name)])) : null;
}

function meta(model) {
  const parts = [duration(model.duration)];
  if (model.prompt_tokens !== null && model.prompt_tokens !== undefined) {
    parts.push(`${number(model.prompt_tokens)} → ${number(model.completion_tokens ?? 0)} tokens`);
  }
  if (model.model) parts.push(inline(model.model));
  if (model.finish_reason === "length") parts.push("cut off by the token limit");
  return element("span", { class: "meta", title: `began ${duration(model.start)} after the episode` },
    parts.map((part, at) => [at ? " · " : "", part]));
}

function toolCall(call, answers, path) {
  const refused = !call.executed;
  const held = refused && call.approval;
  const state = held ? call.approval : call.error ? "raised" : call.malformed !== null ? "malformed" : refused ? "not executed" : null;
  const result = call.error ?? (call.executed ? call.result : answers.get(call.id) ?? null);
  const own = call.path ?? [];
  return element("div", { class: `call ${state ? "wrong" : ""}` },
    element("div", { class: "who" },
      element("span", { class: "tool" }, inline(call.name || "(no name)")),
      own.join("/") === path.join("/") ? null : nested(own),
      state ? element("span", { class: "chip bad small" }, call.error && refused && !held ? "refused" : state) : null,
      element("span", { class: "meta", title: `began ${duration(call.start)} after the episode` }, `at ${duration(call.start)}`, call.executed ? ` · ${duration(call.duration)}` : "")),
    call.malformed !== null && call.malformed !== undefined
      ? passage(call.malformed, { class: "code" }) : argumentsOf(call.arguments),
    result === null && refused ? null
      : element("div", { class: "result" }, element("span", { class: "label" }, call.error ? "error" : "result"), passage(result, { class: call.error ? "code error" : "code" })));
}

function argumentsOf(given) {
  const pairs = Object.entries(given ?? {});
  if (!pairs.length) return element("div", { class: "hint" }, "no arguments");
  return element("dl", { class: "arguments" }, pairs.map(([name, value]) => element("div", {},
    element("dt", {}, inline(name)),
    element("dd", {}, passage(typeof value === "string" ? value : JSON.stringify(value, null, 1), { class: "code" })))));
}

function failedCheck(check) {
  const name = String(check.file).split(/[\\/]/).at(-1);
  return element("details", { class: "check", open: (check.message ?? "").length < 400 },
    element("summary", {}, mark("bad", "✕", check.status), element("span", { class: "code" }, "assert ", inline(check.text))),
    check.must ? element("p", {}, "Required: ", inline(check.must)) : null,
    check.message ? passage(check.message, { class: "code" }) : null,
    element("p", { class: "hint" }, `${check.status} · ${name}:${check.line} · weight ${check.weight}`));
}

function ending(episode) {
  return [
    episode.error ? element("div", { class: "turn error" }, element("div", { class: "who" }, outcomeOf(episode.outcome).label), passage(episode.error)) : null,
    episode.details ? element("details", {}, element("summary", {}, "Where it happened"), passage(episode.details, { class: "code" })) : null,
    episode.output?.trim() ? element("details", {}, element("summary", {}, "Printed and logged"), passage(episode.output, { class: "code" })) : null,
  ];
}

const STATUSES = {
  passed: ["good", "✓"], failed: ["bad", "✕"], errored: ["bad", "!"], not_reached: ["other", "–"],
};

function checkList(checks) {
  return element("details", { class: "checks" },
    element("summary", {}, `${checks.filter((c) => c.status === "passed").length} of ${count(checks.length, "check")} passed`),
    element("ul", {}, checks.map((check) => {
      const [tone, sign] = STATUSES[check.status] ?? ["other", "?"];
      return element("li", {}, mark(tone, sign, check.status), " ", element("span", { class: "code" }, inline(check.text)),
        check.must ? element("span", { class: "hint" }, " required: ", inline(check.must)) : null);
    })));
}

// What a judge said, criterion by criterion: no is no failure where a check asks for it.
function verdicts({ judge, user }) {
  const said = judge?.verdicts ?? [];
  return [
    said.length ? element("details", { class: "checks", open: said.some((verdict) => !verdict.pass) },
      element("summary", {}, inline(judge.model), ` judged ${said.length === 1 ? "1 criterion" : `${said.length} criteria`}`),
      element("ul", { class: "verdicts" }, said.map((verdict) => element("li", {},
        element("span", { class: "chip plain small" }, verdict.pass ? "yes" : "no"),
        element("div", {}, passage(verdict.criterion),
          passage(verdict.reason, { class: "hint" }),
          verdict.cached ? element("span", { class: "label" }, "known from before") : null))))) : null,
    user ? element("p", { class: "hint" }, "The user was played by ", inline(user.model), `: ${count(user.messages, "message")}${user.done ? ", then it was done." : "."}`) : null,
  ];
}

// For a shell.
function quoted(text) {
  return /^[\w./:-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

function episodeView(row, episode, report) {
  const outcome = outcomeOf(row.outcome);
  const named = /^(train|held_out)-\d+$/.test(row.case);
  const trained = row.phase === "after" && report.summary.training?.agent;
  const command = [
    `pytest --agentgym ${quoted(row.scenario)}`,
    named ? `--agentgym-case ${row.case}` : "",
    report.summary.seed ? `--agentgym-seed ${report.summary.seed}` : "",
    trained ? `--agentgym-policy ${quoted(trained.split(/[\\/]/).slice(-2).join("_"))}` : "",
  ].filter(Boolean).join(" ");
  const facts = [
    row.case, row.phase, `reward ${row.reward}`, duration(row.seconds), count(row.tokens, "token"),
    row.calls === 1 ? "1 tool call" : `${row.calls} tool calls`,
    episode?.attempts > 1 ? `${episode.attempts} attempts` : null, episode?.policy,
  ].filter(Boolean);
  return [
    element("h3", { tabindex: -1 }, mark(outcome.tone, outcome.mark, outcome.label),
      element("span", {}, name(shortName(row.scenario)), element("span", { class: "quiet" }, ` #${row.index}`))),
    element("p", { class: "hint" }, outcome.label, facts.map((text) => [" · ", inline(text)])),
    episode?.case?.value ? element("p", {}, "case ", element("span", { class: "code" }, inline(episode.case.value))) : null,
    episode ? checkList(episode.checks) : null,
    episode?.simulators ? verdicts(episode.simulators) : null,
    episode ? conversation(episode, report)
      : element("p", { class: "notice" }, "The conversation of this episode was left out to keep this page small; episodes.jsonl has it, under the id ", element("code", {}, row.id), "."),
    element("div", { class: "again" }, element("span", { class: "hint" }, "Play this case again "), element("code", {}, inline(command)),
      " ", button("Copy", (event) => copy(command, event.currentTarget), { class: "small" })),
  ];
}
