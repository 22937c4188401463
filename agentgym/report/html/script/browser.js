// The episodes: filters, search, a list that draws only what is seen, and the link.

const ROW_HEIGHT = 58;
const EMPTY = { scenario: "", outcome: "", tool: "", fault: "", check: "", case: "", phase: "", q: "" };
const FAULT_NAMES = { called: "called", ...FAULTS };

class Browser {
  constructor(report) {
    this.report = report;
    this.filter = { ...EMPTY };
    this.shown = [];
    this.selected = null;
    this.searching = 0;
    this.byId = new Map(report.rows.map((row) => [row.id, row]));
    const outcomes = ranks(Object.keys(OUTCOMES));
    const scenarios = ranks([...report.scenarios].sort());
    report.rows.sort((a, b) => outcomes.get(a.outcome) - outcomes.get(b.outcome)
      || scenarios.get(a.scenario) - scenarios.get(b.scenario) || a.index - b.index);
    this.controls = this.makeControls();
    this.status = element("p", { class: "status", role: "status" });
    this.spacer = element("div", { class: "spacer" });
    this.list = element("div", {
      class: "list", role: "listbox", tabindex: 0, "aria-label": "Episodes",
      scroll: () => this.drawRows(), keydown: (event) => this.listKey(event),
    }, this.spacer);
    this.detail = element("article", { class: "detail", "aria-label": "Episode" });
    this.node = element("section", { id: "episodes", "aria-labelledby": "episodes-title" },
      element("h2", { id: "episodes-title" }, "Episodes"),
      this.bar(),
      element("div", { class: "panes" }, element("div", { class: "side" }, this.status, this.list), this.detail));
    addEventListener("resize", () => this.drawRows());
    addEventListener("hashchange", () => this.readLink());
    document.addEventListener("keydown", (event) => this.key(event));
  }

  start() {
    if (location.hash.length > 1) {
      this.readLink();
      return;
    }
    // Of a training, the last measurement is what the numbers above are about.
    const measured = ["after", "before"].find((phase) => this.report.rows.some((row) => row.phase === phase));
    this.setFilter({ phase: measured ?? "" }, { fromLink: true });
  }

  // Filters.

  makeControls() {
    const { report } = this;
    const number = (test) => report.rows.reduce((sum, row) => sum + test(row), 0);
    const select = (name, title, options) => element("select", {
      id: `filter-${name}`, "aria-label": title, change: (event) => this.setFilter({ [name]: event.target.value }),
    }, element("option", { value: "" }, title), options);
    const option = (value, label) => element("option", { value }, label);
    const tally = new Map();
    for (const row of report.rows) {
      for (const key of [`o:${row.outcome}`, `s:${row.scenario}`, `p:${row.phase}`, ...row.failed.map((at) => `c:${at}`)]) {
        tally.set(key, (tally.get(key) ?? 0) + 1);
      }
    }
    const counted = (key, label) => `${label} (${(tally.get(key) ?? 0).toLocaleString("en-US")})`;
    const groups = report.scenarios.map((name, at) => [name, report.checks.map((check, index) => ({ ...check, index })).filter((check) => check.scenario === at)])
      .filter(([, checks]) => checks.length).sort(([a], [b]) => a.localeCompare(b));
    return {
      q: element("input", {
        id: "filter-q", type: "search", placeholder: "Search what was said and called", "aria-label": "Search",
        input: (event) => this.setFilter({ q: event.target.value }),
      }),
      scenario: select("scenario", "All scenarios", [...report.scenarios].sort().map((name) => option(name, counted(`s:${name}`, plain(shortName(name)))))),
      outcome: select("outcome", "All outcomes", Object.keys(OUTCOMES).filter((name) => tally.has(`o:${name}`)).map((name) => option(name, counted(`o:${name}`, OUTCOMES[name].label)))),
      tool: select("tool", "All tools", [...report.tools].sort().map((name) => option(name, plain(name) || "(no name)"))),
      fault: select("fault", "In any way", Object.entries(FAULT_NAMES).map(([name, label]) => option(name, label))),
      check: select("check", "All checks", groups.map(([name, checks]) => element("optgroup", { label: plain(shortName(name)) },
        checks.map((check) => option(String(check.index), counted(`c:${check.index}`, `failed: ${plain(check.text)}`)))))),
      phase: select("phase", "All phases", report.phases.filter(Boolean).map((name) => option(name, counted(`p:${name}`, name)))),
    };
  }

  bar() {
    const { controls } = this;
    const trained = this.report.phases.some(Boolean);
    return element("form", { class: "filters", role: "search", submit: (event) => event.preventDefault() },
      controls.q, controls.scenario, controls.outcome, controls.tool, controls.fault, controls.check,
      trained ? controls.phase : null,
      button("Reset", () => this.setFilter({ ...EMPTY }), { id: "reset" }));
  }

  setFilter(changes, { fromLink = false } = {}) {
    Object.assign(this.filter, changes);
    for (const [name, control] of Object.entries(this.controls)) {
      if (control.value !== this.filter[name]) control.value = this.filter[name];
    }
    this.controls.fault.disabled = !this.filter.tool;
    this.apply(fromLink)
      .then(() => { if (!fromLink) this.writeLink(); })
      .catch((error) => { this.status.textContent = `The episodes cannot be searched: ${error}`; });
  }

  async apply(fromLink) {
    const turn = ++this.searching;
    const { filter, report } = this;
    const tool = report.tools.indexOf(filter.tool);
    const wanted = FLAGS[filter.fault] ?? ~0;
    const check = filter.check === "" ? null : Number(filter.check);
    let rows = report.rows.filter((row) =>
      (!filter.scenario || row.scenario === filter.scenario)
      && (!filter.outcome || row.outcome === filter.outcome)
      && (!filter.case || row.case === filter.case)
      && (!filter.phase || row.phase === filter.phase)
      && (!filter.tool || flagsOf(row, tool) & wanted)
      && (check === null || row.failed.includes(check)));
    const query = filter.q.trim().toLowerCase();
    if (query) rows = await this.search(rows, query, turn);
    if (turn !== this.searching || rows === null) return;
    this.shown = rows;
    const which = filter.case ? [" of case ", inline(filter.case)] : [];
    this.status.replaceChildren(`${number(rows.length)} of ${count(report.rows.length, "episode")}`, ...which);
    this.spacer.style.height = `${rows.length * ROW_HEIGHT}px`;
    this.list.scrollTop = 0;
    if (this.selected && rows.includes(this.selected)) this.reveal(rows.indexOf(this.selected));
    else if (rows.length && !narrow() && !(fromLink && /\bepisode=/.test(location.hash))) this.open(rows[0], { link: false });
    this.drawRows();
  }

  // Reads the chunks one after the other; the last search that was asked for wins.
  async search(rows, query, turn) {
    await new Promise((done) => setTimeout(done, 120));
    const byChunk = new Map();
    for (const row of rows) {
      if (!byChunk.has(row.place.chunk)) byChunk.set(row.place.chunk, []);
      byChunk.get(row.place.chunk).push(row);
    }
    const found = new Set();
    let done = 0;
    for (const [chunk, members] of byChunk) {
      if (turn !== this.searching) return null;
      const says = await this.report.store.finder(chunk, query);
      for (const row of members) {
        const listed = `${row.id}\n${row.scenario}\n${row.preview}`.toLowerCase();
        if (listed.includes(query) || says(row.place.line)) found.add(row);
      }
      done += 1;
      this.status.textContent = `Searching … ${Math.round((100 * done) / byChunk.size)} %`;
    }
    return rows.filter((row) => found.has(row));
  }

  // The list.

  drawRows() {
    const first = Math.max(0, Math.floor(this.list.scrollTop / ROW_HEIGHT) - 4);
    const last = Math.min(this.shown.length, first + Math.ceil(this.list.clientHeight / ROW_HEIGHT) + 8);
    const rows = [];
    for (let at = first; at < last; at += 1) rows.push(this.row(at));
    this.spacer.replaceChildren(...rows);
    if (!this.shown.length) this.spacer.append(element("p", { class: "hint none" }, "No episode is like that."));
    const active = this.shown.indexOf(this.selected);
    if (active >= first && active < last) this.list.setAttribute("aria-activedescendant", `row-${active}`);
    else this.list.removeAttribute("aria-activedescendant");
  }

  row(at) {
    const row = this.shown[at];
    const outcome = outcomeOf(row.outcome);
    const node = element("div", {
      class: "row", role: "option", id: `row-${at}`, "aria-selected": String(row === this.selected),
      "aria-posinset": at + 1, "aria-setsize": this.shown.length, click: () => this.open(row, { show: true }),
    },
    mark(outcome.tone, outcome.mark, outcome.label),
    element("div", { class: "row-text" },
      element("div", { class: "row-name" }, inline(shortName(row.scenario).replace(/^test_/, "")), element("span", { class: "quiet" }, ` #${row.index}`)),
      element("div", { class: "row-said" }, inline(row.preview || "–"))),
    element("div", { class: "row-end quiet" }, row.failed.length ? count(row.failed.length, "check") : duration(row.seconds)));
    node.style.transform = `translateY(${at * ROW_HEIGHT}px)`;
    return node;
  }

  reveal(at) {
    const top = at * ROW_HEIGHT;
    const { scrollTop, clientHeight } = this.list;
    if (top < scrollTop) this.list.scrollTop = top;
    else if (top + ROW_HEIGHT > scrollTop + clientHeight) this.list.scrollTop = top + ROW_HEIGHT - clientHeight;
  }

  move(by) {
    if (!this.shown.length) return;
    const now = this.shown.indexOf(this.selected);
    const at = Math.min(this.shown.length - 1, Math.max(0, now < 0 ? 0 : now + by));
    this.reveal(at);
    this.open(this.shown[at], {});
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") this.close();
    if (/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
    if (event.key === "j" || event.key === "k") this.move(event.key === "j" ? 1 : -1);
    else if (event.key === "/") this.controls.q.focus();
    else return;
    event.preventDefault();
  }

  listKey(event) {
    const page = Math.max(1, Math.floor(this.list.clientHeight / ROW_HEIGHT) - 1);
    const by = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity }[event.key];
    if (by !== undefined) this.move(by);
    else if (event.key === "Enter" && this.selected) this.open(this.selected, { show: true });
    else return;
    event.preventDefault();
  }

  // The episode.

  async open(row, { link = true, show = false }) {
    this.selected = row;
    if (link) this.writeLink();
    this.drawRows();
    let content;
    try {
      const episode = row.place ? await this.report.store.episode(row.place) : null;
      content = episodeView(row, episode, this.report);
    } catch (error) {
      content = element("p", { class: "notice" }, `This episode cannot be shown: ${error}`);
    }
    if (this.selected !== row) return;
    const bar = element("div", { class: "tools" },
      button("Back", () => this.close(), { class: "back small" }),
      button("Previous", () => this.move(-1), { class: "small", title: "k" }),
      button("Next", () => this.move(1), { class: "small", title: "j" }),
      button("Copy link", (event) => copy(this.link(row), event.currentTarget), { class: "small" }));
    this.detail.replaceChildren(...[bar, content].flat(Infinity).filter(Boolean));
    this.detail.dataset.episode = row.id;
    this.detail.scrollTop = 0;
    if (show && narrow()) this.show();
  }

  // On a narrow screen the episode lies over the page.
  show() {
    document.body.classList.add("reading");
    this.detail.querySelector("h3")?.focus({ preventScroll: true });
  }

  close() {
    if (!document.body.classList.contains("reading")) return;
    document.body.classList.remove("reading");
    this.drawRows();
    this.list.focus({ preventScroll: true });
  }

  // The link names the episode and the filters.

  link(row) {
    return `${location.href.split("#")[0]}#${new URLSearchParams({ episode: row.id })}`;
  }

  writeLink() {
    const fields = Object.entries(this.filter).filter(([, value]) => value);
    if (this.selected) fields.unshift(["episode", this.selected.id]);
    try {
      history.replaceState(null, "", `#${new URLSearchParams(fields)}`);
    } catch {
      // A browser may limit how often: the link is then a moment late.
    }
  }

  readLink() {
    const fields = new URLSearchParams(location.hash.slice(1));
    const known = Object.keys(EMPTY).filter((name) => fields.has(name));
    const row = this.byId.get(fields.get("episode"));
    if (row) this.selected = row;
    this.setFilter({ ...EMPTY, ...Object.fromEntries(known.map((name) => [name, fields.get(name)])) }, { fromLink: true });
    if (row) {
      this.open(row, { link: false, show: true }).then(() => this.node.scrollIntoView());
    } else if (fields.has("episode")) {
      this.detail.replaceChildren(
        element("p", { class: "notice" }, "There is no episode ", inline(fields.get("episode")), " in this report."),
        button("Back", () => this.close(), { class: "back small" }));
      if (narrow()) this.show();
    }
  }
}

function ranks(names) {
  return new Map(names.map((name, at) => [name, at]));
}

function narrow() {
  return matchMedia("(max-width: 760px)").matches;
}

function plain(text) {
  return safe(text).map((part) => (typeof part === "string" ? part : part.textContent)).join("");
}
