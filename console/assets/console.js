// What the pages cannot do without a script: copy, dialogs, and a word while one waits. Everything
// works without it, only less comfortably.
(() => {
  "use strict";
  const $ = (id) => document.getElementById(id);
  const say = (text) => { $("live").textContent = text; };

  const reveal = (within) => {
    for (const b of within.querySelectorAll("[data-copy]")) b.hidden = !navigator.clipboard;
  };
  const prepare = (within) => {
    reveal(within);
    const focus = within.querySelector("[data-focus]");
    if (focus) focus.focus();
  };

  document.addEventListener("click", async (e) => {
    const copy = e.target.closest("[data-copy]");
    if (copy) {
      try {
        await navigator.clipboard.writeText($(copy.dataset.copy).textContent);
        copy.textContent = "Copied";
        say("Copied.");
        setTimeout(() => { copy.textContent = "Copy"; }, 2000);
      } catch {
        say("The browser does not allow copying. Select the text instead.");
      }
    }
    const close = e.target.closest("[data-close]");
    if (close && close.closest("dialog")) {
      e.preventDefault();
      $("dialog").close();
    }
  });

  // A form that was sent is not sent twice, and says that it is on its way.
  document.addEventListener("submit", (e) => {
    const form = e.target;
    const typed = form.querySelector("[data-expect]");
    if (typed && typed.value.trim() !== typed.dataset.expect) {
      e.preventDefault();
      typed.setCustomValidity("This is something else.");
      typed.reportValidity();
      return;
    }
    if (!form.matches("[data-busy]")) return;
    if (form.classList.contains("sent")) {
      e.preventDefault();
      return;
    }
    form.classList.add("sent");
  });
  document.addEventListener("input", (e) => {
    if (e.target.matches("[data-expect]")) e.target.setCustomValidity("");
  });
  // What is said of a field may be about another one too.
  document.addEventListener("change", (e) => {
    for (const note of e.target.form?.querySelectorAll(".note:not(:empty)") ?? []) {
      const field = $(note.id.replace(/-note$/, ""));
      if (field !== e.target) field.dispatchEvent(new Event("recheck"));
    }
  });
  // Back to a page that the browser kept: its forms may be sent again.
  addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("form.sent")) form.classList.remove("sent");
  });

  document.addEventListener("htmx:afterSwap", (e) => {
    if (e.detail.target.id === "dialog") $("dialog").showModal();
  });
  document.addEventListener("htmx:load", (e) => prepare(e.detail.elt));
  // While a form is on its way, what is around it stays as it is.
  document.addEventListener("htmx:beforeRequest", (e) => {
    if (e.detail.target.querySelector("form.sent")) e.preventDefault();
  });
  // What took the place of its target is not in it.
  document.addEventListener("htmx:load", (e) => reveal(e.detail.elt));
  // What is read again says what of it is shown: what has not changed is answered without content, stays as it is,
  // and is not read out again.
  const shown = new Map();
  const first = document.querySelector("meta[name=shown]")?.content;
  const polls = (e) => e.matches?.("[hx-trigger^=every]");
  document.addEventListener("htmx:configRequest", (e) => {
    const tag = polls(e.target) && (shown.get(e.detail.path) ?? first);
    if (tag) e.detail.headers["If-None-Match"] = tag;
  });
  // Of what has changed, states are said: "c1: Ready".
  const states = (within) => {
    const all = new Map();
    for (const b of within.querySelectorAll(".badge")) {
      const row = b.closest("tr") ?? b.closest("dl > div") ?? b.closest("section");
      const head = row?.querySelector("th, dt, h2");
      const name = head?.dataset.name ?? (head?.querySelector("a, code") ?? head)?.textContent.trim() ?? "";
      all.set(name, [...(all.get(name) ?? []), b.textContent.trim()]);
    }
    return all;
  };
  let before = null;
  document.addEventListener("htmx:beforeSwap", (e) => {
    if (!polls(e.detail.target) || !e.detail.shouldSwap) return;
    const tag = e.detail.xhr.getResponseHeader("ETag");
    if (tag) shown.set(e.detail.requestConfig.path, tag);
    before = { id: e.detail.target.id, states: states(e.detail.target) };
  });
  document.addEventListener("htmx:load", (e) => {
    if (!before || e.detail.elt.id !== before.id) return;
    const after = states(e.detail.elt);
    const changed = [...after].filter(([name, now]) => now.join() !== before.states.get(name)?.join()).map(([name, now]) => (name ? name + ": " : "") + now.join(", "));
    for (const name of before.states.keys()) if (!after.has(name)) changed.push(name + ": no longer here");
    before = null;
    if (changed.length > 3) say("Several states have changed.");
    else if (changed.length > 0) say(changed.join(". ") + ".");
  });
  const offline = $("offline").content.textContent;
  for (const failed of ["htmx:responseError", "htmx:sendError"]) {
    document.addEventListener(failed, (e) => {
      if (e.detail.target.id === "dialog") location.assign(e.detail.requestConfig.path); // as a page, which says why
      else if (polls(e.detail.target)) say(offline);
    });
  }
  document.addEventListener("htmx:afterRequest", (e) => { if (e.detail.successful && $("live").textContent === offline) say(""); });
  prepare(document);
})();
