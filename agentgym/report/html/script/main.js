async function start() {
  const page = document.getElementById("page");
  if (typeof DecompressionStream === "undefined") {
    document.getElementById("loading").textContent =
      "This browser is too old to read the report: use Chrome 80, Firefox 113, Safari 16.4 or a newer one.";
    return;
  }
  const report = await readReport();
  const browser = new Browser(report);
  const choose = (changes) => {
    browser.setFilter({ ...EMPTY, phase: browser.filter.phase, ...changes });
    browser.node.scrollIntoView();
    browser.list.focus({ preventScroll: true });
  };
  const visit = (id) => {
    history.pushState(null, "", `#${new URLSearchParams({ episode: id })}`);
    browser.readLink();
    if (!narrow()) browser.list.focus({ preventScroll: true });
  };
  page.replaceChildren(...[
    head(report), learning(report), comparison(report, choose, visit), scenarios(report, choose),
    tools(report, choose), erroredChecks(report), failedChecks(report, choose), severalEpisodes(report, choose), failedCases(report, choose), cost(report), browser.node, notes(report),
  ].filter(Boolean));
  document.querySelector(".skip").addEventListener("click", (event) => {
    // The address belongs to the episode and the filters.
    event.preventDefault();
    browser.node.scrollIntoView();
    browser.list.focus({ preventScroll: true });
  });
  browser.start();
  document.documentElement.dataset.ready = String(Math.round(performance.now()));
}

start().catch((error) => {
  document.getElementById("page").prepend(`This report cannot be read: ${error}`);
});
