// Lists that may be long: the first items at once, the others on demand.

function more(place, list, items, most, draw, noun, step = Infinity) {
  list.append(...items.slice(0, most).map(draw));
  if (items.length <= most) return;
  const next = Math.min(step, items.length - most);
  const all = button(`Show ${count(next, `more ${noun}`)}`, () => {
    all.remove();
    more(place, list, items.slice(most), next, draw, noun, step);
  }, { class: "more" });
  place.append(all);
}

// A run by its id, and its page, if it has one.
function runName(run, text = run.id) {
  return run.page ? element("a", { href: run.page, class: "code" }, inline(text)) : element("span", { class: "code" }, inline(text));
}

function moment(seconds) {
  return new Date(1000 * seconds).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" });
}
