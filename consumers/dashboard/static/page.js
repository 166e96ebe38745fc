// What HTML alone cannot do: times in the reader's zone, copying, tooltips that Escape closes,
// one box that ticks all, and results that arrive while the page is open. Every page works without it.
(function () {
  "use strict";

  const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");

  function localTimes(root) {
    root.querySelectorAll("time[datetime]").forEach(function (node) {
      const moment = new Date(node.getAttribute("datetime"));
      if (isNaN(moment)) return;
      const two = function (number) { return String(number).padStart(2, "0"); };
      const day = moment.getDate() + " " + MONTHS[moment.getMonth()] + " " + moment.getFullYear();
      const clock = two(moment.getHours()) + ":" + two(moment.getMinutes());
      node.textContent = node.dataset.clock === undefined ? day : day + ", " + clock;
      node.title = day + ", " + clock + " " + Intl.DateTimeFormat().resolvedOptions().timeZone;
    });
  }

  function copy(button) {
    const source = document.getElementById(button.dataset.copy);
    const told = document.getElementById(button.getAttribute("aria-describedby"));
    const say = function (words) { if (told) told.textContent = words; };
    source.focus();
    if (source.select) source.select();
    if (!navigator.clipboard) { say("Selected: copy it with your keyboard."); return; }
    navigator.clipboard.writeText(source.value || source.textContent).then(
      function () { say("Copied."); },
      function () { say("Selected: copy it with your keyboard."); }
    );
  }

  document.addEventListener("click", function (event) {
    const button = event.target.closest("[data-copy]");
    if (button) copy(button);
  });

  document.addEventListener("change", function (event) {
    const all = event.target.closest("[data-ticks]");
    if (!all) return;
    document.querySelectorAll('input[name="' + all.dataset.ticks + '"]').forEach(function (box) { box.checked = all.checked; });
  });

  document.addEventListener("keydown", function (event) {
    if (event.key !== "Escape") return;
    document.querySelectorAll(".tip").forEach(function (tip) { tip.classList.add("closed"); });
  });
  ["focusout", "mouseout"].forEach(function (kind) {
    document.addEventListener(kind, function (event) {
      const tip = event.target.closest && event.target.closest(".tip");
      if (tip && !tip.contains(event.relatedTarget)) tip.classList.remove("closed");
    });
  });

  // Live results: the part that shows them is asked for again, unless somebody is working in it.
  function busyIn(part) {
    return part.contains(document.activeElement) || part.querySelector("input:checked") !== null;
  }

  function listen(part) {
    const told = document.getElementById("live");
    const only = part.dataset.only; // a page of one review does not speak of others
    const arrived = new Set();
    let waiting = null, source = null;

    function refresh() {
      waiting = null;
      if (arrived.size) told.textContent = arrived.size < 2 ? "A new result has arrived." : "New results have arrived: " + arrived.size + ".";
      if (busyIn(part)) { if (arrived.size) told.textContent += " Reload the page to see them."; return; }
      window.htmx.ajax("GET", location.pathname + location.search, { target: "#" + part.id, select: "#" + part.id, swap: "outerHTML" });
    }

    function follow() {
      source = new EventSource(part.dataset.live);
      source.addEventListener("news", function (event) {
        const news = JSON.parse(event.data);
        const ours = news.reviews.filter(function (id) { return !only || id === only; });
        if (only && !ours.length && !news.more && !news.missed) return;
        ours.forEach(function (id) { arrived.add(id); });
        if (waiting === null) waiting = setTimeout(refresh, 700); // many at once are one refresh
      });
      source.onopen = function () { document.documentElement.dataset.listening = "1"; };
    }

    // Browsers allow a site six connections in all: a page that nobody looks at gives its own back,
    // and catches up when it is looked at again.
    function look() {
      if (document.hidden) { source.close(); source = null; }
      else if (source === null) { follow(); refresh(); }
    }

    follow();
    document.addEventListener("visibilitychange", look);
    window.addEventListener("pagehide", function () { if (source) source.close(); });
    // The part is replaced when it is refreshed: later events must see the new one.
    document.body.addEventListener("htmx:load", function () { part = document.getElementById(part.id) || part; });
  }

  // A part of the page that could not be had says why, above everything else.
  document.body.addEventListener("htmx:responseError", function (event) {
    const told = document.getElementById("trouble");
    told.textContent = event.detail.xhr.responseText.slice(0, 400) || "The server did not answer; try again.";
    told.hidden = false;
  });
  document.body.addEventListener("htmx:sendError", function () {
    const told = document.getElementById("trouble");
    told.textContent = "The server cannot be reached; try again.";
    told.hidden = false;
  });
  document.body.addEventListener("htmx:beforeRequest", function () { document.getElementById("trouble").hidden = true; });

  localTimes(document);
  document.body.addEventListener("htmx:load", function (event) { localTimes(event.target); });
  const part = document.querySelector("[data-live]");
  if (part && window.EventSource) listen(part);
})();
