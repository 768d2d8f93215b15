// The table of tasks: searched, filtered, sorted, a page at a time. What is asked for stands in the address.

import { announce, duration, el, fill, number, plural } from "./dom.js";
import { journey, meter } from "./marks.js";

const LIMIT = 50;

const DEFAULTS = { q: "", state: "", outcome: "", pairs: "", verdict: "", differ: "", sort: "position", down: "", offset: "0" };

const FILTERS = [
  ["state", "State", [["", "any state"], ["finished", "finished"], ["set aside", "set aside"], ["open", "open"]]],
  ["outcome", "Outcome", [["", "any outcome"], ["solved", "solved (1)"], ["partial", "in between"], ["failed", "failed (0)"]]],
  ["pairs", "Pairs", [["", "pairs or none"], ["yes", "with pairs"], ["no", "without pairs"]]],
  ["verdict", "Verdict", [["", "any verdict"], ["risen", "with a risen step"], ["exhausted", "with an exhausted step"]]],
];

const ONE = [
  ["position", "Task", (row) => taskCell(row)],
  ["state", "State", (row) => el("span", { class: "state", title: row.why }, row.state)],
  ["outcome", "Outcome", (row) => meter(row.outcome)],
  ["steps", "Steps", (row) => number(row.steps), "right"],
  ["candidates", "Candidates", (row) => number(row.candidates), "right"],
  ["pairs", "Pairs", (row) => number(row.pairs), "right"],
  ["exhausted", "Risen / exhausted", (row) => `${row.risen} / ${row.exhausted}`, "right"],
  ["last", "First to last reward", (row) => journey(row.first, row.last)],
  ["seconds", "Time", (row) => duration(row.seconds), "right"],
];

const TWO = [
  ["position", "Task", (a, b) => taskCell(a ?? b)],
  ["outcome", "A outcome", (a) => (a ? meter(a.outcome) : absent())],
  ["outcome_b", "B outcome", (a, b) => (b ? meter(b.outcome) : absent())],
  ["difference", "B − A", (a, b) => difference(a, b), "right"],
  ["steps", "A steps", (a) => (a ? number(a.steps) : absent()), "right"],
  ["steps_b", "B steps", (a, b) => (b ? number(b.steps) : absent()), "right"],
  ["pairs", "A pairs", (a) => (a ? number(a.pairs) : absent()), "right"],
  ["pairs_b", "B pairs", (a, b) => (b ? number(b.pairs) : absent()), "right"],
];

/** The address of a table. */
export function tasksHref(query) {
  const given = Object.entries(query).filter(([name, value]) => name in DEFAULTS && String(value) !== DEFAULTS[name]);
  return given.length ? `#/tasks?${new URLSearchParams(given)}` : "#/tasks";
}

/** Show the table that an address asks for. */
export async function showTasks(main, { source, runs, stale }, given) {
  const asked = { ...DEFAULTS, ...given };
  const query = {
    ...asked,
    differ: asked.differ === "true",
    down: asked.down === "true",
    offset: Math.max(0, Number.parseInt(asked.offset, 10) || 0),
    limit: LIMIT,
  };
  const found = await source.tasks(query);
  if (stale()) return;
  const go = (changes) => {
    const href = tasksHref({ ...asked, offset: "0", ...changes });
    if ("q" in changes) location.replace(href);
    else location.hash = href;
  };
  // A search box that is being typed into stays the same one: it may be ahead of what was asked.
  const box = main.querySelector("#search") ?? searchBox();
  const typed = box === document.activeElement ? [box.selectionStart, box.selectionEnd] : null;
  if (typed === null) box.value = asked.q;
  asks = (text) => go({ q: text });
  const columns = runs.length > 1 ? TWO : ONE;
  fill(
    main,
    el(
      "div",
      { class: "page" },
      el("h1", {}, "Tasks"),
      toolbar(box, asked, runs, go),
      el("p", { class: "soft count" }, el("span", { id: "count" }, span(found, query.offset)), source.note && ` · ${source.note}`),
      found.rows.length
        ? el(
            "div",
            { class: "scroll", tabindex: 0, role: "group", "aria-label": "Table of tasks" },
            el(
              "table",
              { class: "tasks" },
              el("caption", { class: "unseen" }, "Tasks of the run; a heading's button sorts"),
              el("thead", {}, el("tr", {}, columns.map((column) => heading(column, asked, go)))),
              el("tbody", {}, found.rows.map((row) => line(row, columns, source))),
            ),
          )
        : el("p", { class: "empty" }, "No task is like that. ", el("a", { href: "#/tasks" }, "Show all")),
      pager(found.total, query.offset, asked),
    ),
  );
  if (typed !== null) {
    box.focus();
    box.setSelectionRange(...typed);
  }
  announce(span(found, query.offset));
}

function span(found, offset) {
  if (!found.rows.length) return "0 tasks";
  return `${number(offset + 1)} to ${number(offset + found.rows.length)} of ${plural(found.total, "task")}`;
}

let asks = () => {};

function searchBox() {
  let waiting = 0;
  const box = el("input", {
    id: "search",
    type: "search",
    placeholder: "Search id or opening   /",
    "aria-label": "Search tasks by id or opening",
    autocomplete: "off",
    spellcheck: "false",
    on: {
      input: () => {
        clearTimeout(waiting);
        waiting = setTimeout(() => asks(box.value), 150);
      },
    },
  });
  return box;
}

function toolbar(search, asked, runs, go) {
  const filters = FILTERS.map(([name, label, options]) =>
    el(
      "select",
      { id: `filter-${name}`, "aria-label": runs.length > 1 ? `${label} in A` : label, on: { change: (event) => go({ [name]: event.target.value }) } },
      options.map(([value, text]) => el("option", { value, selected: asked[name] === value }, runs.length > 1 && value ? `A ${text}` : text)),
    ),
  );
  const differ =
    runs.length > 1 &&
    el(
      "label",
      { class: "check" },
      el("input", { id: "differ", type: "checkbox", checked: asked.differ === "true", on: { change: (event) => go({ differ: String(event.target.checked) }) } }),
      "outcomes differ",
    );
  return el("form", { class: "toolbar", role: "search", on: { submit: (event) => event.preventDefault() } }, search, filters, differ);
}

function heading([name, text, , side], asked, go) {
  const sorted = asked.sort === name;
  const down = asked.down === "true";
  return el(
    "th",
    { scope: "col", class: side, "aria-sort": sorted ? (down ? "descending" : "ascending") : null },
    el(
      "button",
      { type: "button", class: "sort", on: { click: () => go({ sort: name, down: String(sorted ? !down : name !== "position") }) } },
      text,
      el("span", { "aria-hidden": "true" }, sorted ? (down ? " ↓" : " ↑") : ""),
    ),
  );
}

function line(row, columns, source) {
  const id = (row[0] ?? row[1]).id;
  const open = (event) => {
    if (!event.target.closest("a") && !getSelection().toString()) location.hash = taskHref(id);
  };
  return el("tr", { on: { click: open } }, columns.map(([, , cell, side], at) => el(at ? "td" : "th", { class: side, scope: at ? null : "row" }, cell(...row), !at && !source.has(id) && el("span", { class: "soft" }, "not in this file"))));
}

/** The address of a task, and of a candidate within it. */
export function taskHref(id, at = {}) {
  const query = new URLSearchParams(at).toString();
  return `#/task/${encodeURIComponent(id)}${query ? `?${query}` : ""}`;
}

function taskCell(row) {
  return el("a", { class: "task", href: taskHref(row.id) }, el("span", { class: "task-id" }, row.id), el("span", { class: "opening" }, row.opening));
}

function absent() {
  return el("span", { class: "soft" }, "not in it");
}

function difference(a, b) {
  if (!a || !b || a.outcome === null || b.outcome === null) return "–";
  const value = b.outcome - a.outcome;
  return value === 0 ? "=" : `${value > 0 ? "▲ +" : "▼ −"}${Math.abs(value).toFixed(2)}`;
}

function pager(total, offset, asked) {
  if (total <= LIMIT) return null;
  const to = (at, id, text) => {
    const fits = at >= 0 && at < total && at !== offset;
    return fits ? el("a", { id, class: "button", href: tasksHref({ ...asked, offset: at }) }, text) : el("span", { class: "button off", "aria-hidden": "true" }, text);
  };
  const last = LIMIT * Math.floor((total - 1) / LIMIT);
  return el(
    "nav",
    { class: "pager", "aria-label": "Pages" },
    to(offset ? 0 : -1, "first-page", "First"),
    to(offset - LIMIT, "previous-page", "← Previous"),
    el("span", { class: "soft" }, `page ${number(Math.floor(offset / LIMIT) + 1)} of ${number(Math.ceil(total / LIMIT))}`),
    to(offset + LIMIT, "next-page", "Next →"),
    to(offset < last ? last : -1, "last-page", "Last"),
  );
}
