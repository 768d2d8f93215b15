// Which view the address asks for, keys that work everywhere, light and dark.

import { el, fill } from "./dom.js";
import { glyph, strip } from "./marks.js";
import { follow } from "./progress.js";
import { openSource } from "./source.js";
import { showSummary } from "./summary.js";
import { showTask, taskKeys } from "./trajectory.js";
import { showTasks } from "./tasks.js";

const main = document.getElementById("main");
const dialog = document.getElementById("keys");
const THEMES = ["", "light", "dark"];

const KEYS = [
  ["1", "summary"],
  ["2", "tasks"],
  ["/", "search the tasks"],
  ["j  k", "next, previous task or candidate; so do ↓ ↑"],
  ["Enter", "open the task"],
  ["h  l", "previous, next step; so do ← →"],
  ["d", "compare the pair of this step"],
  ["n  p", "next, previous task"],
  ["t", "light, dark or as the system"],
  ["Esc", "close what is open; else back to the tasks"],
  ["?", "these keys"],
];

const SIGNS = [
  [() => strip([{ outcome: 1 }, { outcome: 0.5 }, { outcome: 0 }]), "a rollout's outcome: 1, a half, 0"],
  [() => strip([{ outcome: 0, truncated: true }]), "cut at the step limit, or broken"],
  [() => strip([], 2), "not run: the decision was certain"],
  [() => [glyph(["chosen"]), glyph(["rejected"]), glyph([])], "chosen, rejected, neither"],
];

let context = null;
let view = "summary";
let newest = 0;

async function show() {
  const hash = location.hash.startsWith("#/") ? location.hash.slice(2) : "";
  const [path, query = ""] = hash.split("?");
  const given = Object.fromEntries(new URLSearchParams(query));
  const [name, ...rest] = path.split("/");
  const here = (newest += 1);
  view = name || "summary";
  const before = main.dataset.view;
  main.dataset.view = view;
  for (const [id, own] of [["to-summary", "summary"], ["to-tasks", "tasks"]]) {
    const link = document.getElementById(id);
    if (own === view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${context.runs.map((run) => run.name).join(" and ")} · rro`;
  main.setAttribute("aria-busy", "true");
  const stale = () => here !== newest;
  const own = { ...context, stale };
  const place = el("div", { class: "page" });
  if (!main.firstElementChild) fill(main, place);
  const told = follow(context.source, place);
  try {
    if (view === "summary") await showSummary(main, own);
    else if (view === "tasks") await showTasks(main, own, given);
    else if (view === "task") await showTask(main, own, decodeURIComponent(rest.join("/")), given);
    else throw new Error("There is no such view.");
  } catch (error) {
    if (!stale()) fill(main, problem(error));
  } finally {
    told();
  }
  if (stale()) return;
  main.removeAttribute("aria-busy");
  if (before && before !== view) {
    main.focus({ preventScroll: true });
    scrollTo(0, 0);
  }
}

function problem(error) {
  return el("div", { class: "page" }, el("h1", {}, "This cannot be shown"), el("p", { class: "problem" }, error.message), el("p", {}, el("a", { href: "#/tasks" }, "Back to the tasks")));
}

function tableKeys(key) {
  const rows = [...document.querySelectorAll("table.tasks a.task")];
  const at = rows.indexOf(document.activeElement);
  const to = { j: at + 1, ArrowDown: at + 1, k: at - 1, ArrowUp: at - 1 }[key];
  if (to === undefined || !rows.length) return false;
  const row = rows[Math.max(0, Math.min(rows.length - 1, to))];
  row.focus();
  row.scrollIntoView({ block: "nearest" });
  return true;
}

function pressed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || dialog.open) return;
  const typing = event.target.matches("input:not([type=checkbox]), select, textarea");
  if (typing) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  // Arrows scroll what was given the focus to be scrolled.
  const scrolls = event.key.startsWith("Arrow") && event.target.matches("pre, .scroll");
  if (!scrolls && act(event.key)) event.preventDefault();
}

function act(key) {
  if (key === "1") location.hash = "#/";
  else if (key === "2") location.hash = "#/tasks";
  else if (key === "t") nextTheme();
  else if (key === "?") dialog.showModal();
  else if (key === "/") {
    const box = document.getElementById("search");
    if (box) box.select();
    else {
      location.hash = "#/tasks";
      addEventListener("hashchange", () => requestAnimationFrame(() => document.getElementById("search")?.focus()), { once: true });
    }
  } else if (view === "tasks" && tableKeys(key)) return true;
  else if (view === "task" && taskKeys(key)) return true;
  else if (key === "Escape" && view === "task") location.hash = "#/tasks";
  else return false;
  return true;
}

function nextTheme() {
  const now = document.documentElement.dataset.theme ?? "";
  setTheme(THEMES[(THEMES.indexOf(now) + 1) % THEMES.length]);
}

function setTheme(name) {
  if (name) document.documentElement.dataset.theme = name;
  else delete document.documentElement.dataset.theme;
  document.getElementById("theme").textContent = { light: "Light", dark: "Dark" }[name] ?? "Auto";
  try {
    localStorage.setItem("rro-theme", name);
  } catch {
    // A file may not keep anything; the page then begins with the system's theme.
  }
}

function savedTheme() {
  try {
    return localStorage.getItem("rro-theme") ?? "";
  } catch {
    return "";
  }
}

async function begin() {
  setTheme(THEMES.includes(savedTheme()) ? savedTheme() : "");
  fill(
    dialog,
    el("h2", { id: "keys-title" }, "Keys"),
    el("dl", {}, KEYS.map(([key, does]) => el("div", {}, el("dt", {}, key.split("  ").map((each) => el("kbd", {}, each))), el("dd", {}, does)))),
    el("h2", {}, "Signs"),
    el("dl", { class: "signs" }, SIGNS.map(([signs, means]) => el("div", {}, el("dt", {}, signs()), el("dd", {}, means)))),
    el("form", { method: "dialog" }, el("button", { type: "submit" }, "Close")),
  );
  document.getElementById("theme").addEventListener("click", nextTheme);
  document.getElementById("help").addEventListener("click", () => dialog.showModal());
  addEventListener("keydown", pressed);
  try {
    const source = await openSource();
    context = { source, runs: await source.about() };
  } catch (error) {
    fill(main, problem(error));
    return;
  }
  document.getElementById("run-name").textContent = context.runs.map((run) => run.name).join("  and  ");
  addEventListener("hashchange", show);
  await show();
}

begin();
