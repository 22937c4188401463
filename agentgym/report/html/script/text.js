// Texts of agents and tools: shown as they are, with what would steer the reader's
// screen (control characters, marks that turn the direction of text) made visible.
// Joiners stay: emoji and several scripts need them.

const STEERING =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]/g;

function visible(character) {
  const code = character.codePointAt(0);
  if (code < 0x20) return String.fromCodePoint(0x2400 + code);
  if (code === 0x7f) return "\u2421";
  return `U+${code.toString(16).toUpperCase().padStart(4, "0")}`;
}

function safe(text) {
  const raw = String(text).replace(/\r\n/g, "\n");
  const parts = [];
  let end = 0;
  for (const found of raw.matchAll(STEERING)) {
    if (found.index > end) parts.push(raw.slice(end, found.index));
    parts.push(element("span", { class: "control", title: "a control character" }, visible(found[0])));
    end = found.index + found[0].length;
  }
  parts.push(raw.slice(end));
  return parts;
}

function inline(text, attributes = {}) {
  return element("bdi", { dir: "auto", ...attributes }, safe(text));
}

// A long name of Python breaks at its underscores.
function name(text) {
  const parts = text.split(/(?<=_)/).flatMap((part) => [...safe(part), element("wbr")]);
  return element("bdi", { dir: "auto" }, parts);
}

const MOST_CHARACTERS = 1600, MOST_LINES = 24;

// A text of several lines; a long one is opened on demand.
function passage(text, attributes = {}) {
  const whole = typeof text === "string" ? text : JSON.stringify(text, null, 2) ?? String(text);
  const body = element("div", { dir: "auto", ...attributes, class: `passage ${attributes.class ?? ""}` });
  let short = whole.slice(0, MOST_CHARACTERS);
  const lines = short.split("\n");
  if (lines.length > MOST_LINES) short = lines.slice(0, MOST_LINES).join("\n");
  body.append(...safe(short));
  if (short.length === whole.length) return body;
  const left = whole.length - short.length;
  const more = button(`Show ${number(left)} more characters`, () => {
    body.replaceChildren(...safe(whole));
    more.remove();
    body.tabIndex = -1;
    body.focus({ preventScroll: true });
  }, { class: "more" });
  return [body, more];
}

// The text of a message's content, which may come in parts.
function words(content) {
  if (content === null || content === undefined) return "";
  if (typeof content === "string") return content;
  if (Array.isArray(content) && content.every((part) => part && typeof part === "object")) {
    return content.map((part) => part.text ?? `[${part.type}]`).join("\n");
  }
  return JSON.stringify(content, null, 2);
}
