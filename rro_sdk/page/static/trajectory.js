// The heart: one task's trajectory as a tree of steps and candidates, in one run or in two side by side.

import { announce, el, fill, plural, svg } from "./dom.js";
import { showCandidate, showDiff } from "./inspector.js";
import { glyph, shape, strip } from "./marks.js";
import { frame, grid, scale } from "./plots.js";
import { taskHref } from "./tasks.js";

/** Show a task, with the candidate that the address names open. */
export async function showTask(main, context, id, at) {
  const found = await context.source.task(id);
  if (context.stale()) return;
  const two = context.runs.length > 1;
  const panel = el("aside", { class: "inspector", "aria-label": "Candidate in full", tabindex: -1 });
  const view = { ...context, id, found, panel, two };
  const opening = found.trajectories.find(Boolean);
  const trees = found.trajectories.map((trajectory, run) => ({ trajectory, run }));
  fill(
    main,
    el(
      "div",
      { class: "page task-page" },
      top(view),
      opening.steps.length > 0 && told(opening),
      two
        ? el("div", { class: "pairwise" }, trees.map(({ trajectory, run }) => el("section", { "aria-label": `Run ${"AB"[run]}` }, runHead(view, trajectory, run), trajectory ? tree(view, trajectory, run) : el("p", { class: "empty" }, "This run does not have the task."))))
        : el("div", { class: "split" }, el("section", { "aria-label": "Trajectory" }, tree(view, opening, 0)), panel),
      two && panel,
    ),
  );
  if (two) markFirstDifference(main, found.trajectories);
  document.title = `${id} · rro`;
  const named = main.querySelector(`[data-place="${CSS.escape(placeOf(at))}"]`);
  const first = main.querySelector(".candidate.chosen") ?? main.querySelector(".candidate");
  if (at.diff && named) openDiff(view, named, main.querySelector(`[data-place="${CSS.escape(at.diff)}"]`));
  else if (named || (!two && first)) open(view, named ?? first, false);
  announce(`Task ${id}: ${plural(opening.steps.length, "step")}`);
}

function placeOf({ run = "0", step = "", candidate = "" }) {
  return `${run}.${step}.${candidate}`;
}

function top({ id, found, runs, source }) {
  const [one] = found.trajectories;
  const go = (to, text, name) => (to === null ? el("span", { class: "button off", "aria-hidden": "true" }, text) : el("a", { id: name, class: "button", href: taskHref(to) }, text));
  return el(
    "header",
    { class: "task-head" },
    el("p", { class: "crumbs" }, el("a", { href: "#/tasks" }, "← Tasks")),
    el("h1", {}, id),
    runs.length === 1 && el("p", { class: "soft" }, standing(one)),
    el("nav", { class: "pager", "aria-label": source.note ? "Other tasks of this file" : "Other tasks" }, go(found.before, "← Previous", "previous-task"), go(found.after, "Next →", "next-task")),
  );
}

function standing(trajectory) {
  const parts = [
    trajectory.state + (trajectory.outcome === null ? "" : ` with outcome ${trajectory.outcome.toFixed(2)}`),
    plural(trajectory.steps.length, trajectory.steps.some((step) => step.record !== null) ? "record" : "step"),
    plural(trajectory.steps.filter((step) => step.pair_id !== null).length, "pair"),
  ];
  if (trajectory.discarded) parts.push(`${plural(trajectory.discarded, "step")} thrown away at a reload`);
  if (trajectory.why) parts.push(trajectory.why);
  return parts.join(" · ");
}

function runHead({ runs }, trajectory, run) {
  return el("header", { class: "tree-head" }, el("h2", {}, el("span", { class: `letter ${run ? "second" : "first"}` }, "AB"[run]), " ", runs[run].name), trajectory && el("p", { class: "soft" }, standing(trajectory)));
}

function told(trajectory) {
  const first = trajectory.steps[0];
  const text = trajectory.messages[first.prefix.at(-1)].content;
  return el("section", { class: "told", "aria-label": "The task as the policy was told it" }, el("p", { class: "verbatim clamp", tabindex: 0 }, text));
}

function tree(view, trajectory, run) {
  if (!trajectory.steps.length) return el("p", { class: "empty" }, "No step of this task is decided yet.");
  const followed = trajectory.steps.every((step) => step.record === null);
  return [
    followed && path(view, trajectory, run),
    el("ol", { class: "tree" }, trajectory.steps.map((step, at) => stepItem(view, trajectory, step, at, run))),
  ];
}

// The tree as a drawing: steps to the right, reward upwards, the trajectory's own way in the accent colour.
function path(view, trajectory, run) {
  const canvas = el("div", { class: "canvas path" });
  let drawn = 0;
  new ResizeObserver(([entry]) => {
    const width = Math.floor(entry.contentRect.width);
    if (width > 0 && width !== drawn) {
      drawn = width;
      canvas.replaceChildren(drawPath(width, view, trajectory, run));
    }
  }).observe(canvas);
  return canvas;
}

function drawPath(width, view, { steps }, run) {
  const height = 190;
  const left = 40;
  const y = scale(0, 1, height - 26, 16);
  const gap = (width - left - 34) / steps.length;
  const x = (at) => left + 14 + gap * at;
  const places = steps.map((step, at) => {
    const taken = new Map();
    return step.candidates.map((candidate) => {
      const level = y(candidate.estimate.reward);
      const count = taken.get(level) ?? 0;
      taken.set(level, count + 1);
      return [x(at + 1) - Math.min(15, gap / 5) * count, level];
    });
  });
  let from = [x(0), y(steps[0].baseline.reward)];
  const edges = [];
  const nodes = [svg("circle", { class: "hollow", cx: from[0], cy: from[1], r: 4.5 })];
  steps.forEach((step, at) => {
    let next = null;
    step.candidates.forEach((candidate, which) => {
      const to = places[at][which];
      const on = candidate.marks.includes("goes on");
      const middle = (from[0] + to[0]) / 2;
      edges[on ? "push" : "unshift"](svg("path", { class: on ? "edge on" : "edge", d: `M${from[0]} ${from[1]}C${middle} ${from[1]} ${middle} ${to[1]} ${to[0]} ${to[1]}` }));
      const kind = candidate.marks.includes("chosen") ? "chosen" : candidate.marks.includes("rejected") ? "rejected" : "neither";
      const pick = () => open(view, document.querySelector(`[data-place="${CSS.escape(`${run}.${at}.${candidate.index}`)}"]`), true);
      nodes.push(
        svg(
          "g",
          { class: `node ${kind}${on ? " on" : ""}`, on: { click: pick } },
          svg("title", {}, `step ${step.step}, ${nameOf(candidate)}: ${candidate.estimate.reward.toFixed(2)}${candidate.marks.length ? `, ${candidate.marks.join(", ")}` : ""}`),
          svg("circle", { class: "hit", cx: to[0], cy: to[1], r: 11 }),
          shape(kind, to[0], to[1], 5.5),
        ),
      );
      if (on) next = to;
    });
    from = next ?? from;
  });
  const every = Math.ceil(24 / gap);
  return frame(
    width,
    height,
    `Process reward of every candidate by step; the trajectory goes from ${steps[0].baseline.reward.toFixed(2)} to ${(steps.at(-1).candidates.find((each) => each.marks.includes("goes on")) ?? steps.at(-1).candidates[0]).estimate.reward.toFixed(2)}`,
    grid(width, y, [0, 0.5, 1], (tick) => tick.toFixed(1)),
    svg("text", { class: "tick", x: x(0), y: height - 6, "text-anchor": "middle" }, "start"),
    steps.map((step, at) => (at % every ? null : svg("text", { class: "tick", x: x(at + 1), y: height - 6, "text-anchor": "middle" }, String(step.step)))),
    edges,
    nodes,
  );
}

/** A candidate's name. */
export function nameOf(candidate) {
  return candidate.index < 0 ? "own action" : `candidate ${candidate.index}`;
}

function stepItem(view, trajectory, step, at, run) {
  const sides = ["chosen", "rejected"].map((mark) => step.candidates.find((candidate) => candidate.marks.includes(mark)));
  return el(
    "li",
    { class: "step", "data-step": at },
    el(
      "div",
      { class: "step-head" },
      el("h2", {}, `Step ${step.step}`, step.record !== null && el("small", {}, ` record ${step.record}`)),
      el("p", { class: "baseline" }, el("span", { class: "soft" }, at === 0 || step.record !== null ? "prefix" : "so far"), el("b", {}, step.baseline.reward.toFixed(2)), strip(step.baseline.rollouts, step.baseline.planned)),
    ),
    step.path.length > 0 && el("p", { class: "after soft" }, "after ", el("code", {}, step.path.map((command) => command ?? "an unreadable reply").join(" › "))),
    el("ol", { class: "candidates" }, step.candidates.map((candidate) => el("li", {}, candidateRow(view, candidate, at, run)))),
    el(
      "div",
      { class: `verdict ${step.outcome}` },
      el("p", {}, el("b", {}, step.verdict), " ", step.pair),
      sides.every(Boolean) &&
        el("button", { type: "button", class: "quiet compare-pair", on: { click: () => goDiff(view, `${run}.${at}.${sides[0].index}`, `${run}.${at}.${sides[1].index}`) } }, "Compare the pair"),
    ),
  );
}

function candidateRow(view, candidate, at, run) {
  const kind = candidate.marks.includes("chosen") ? "chosen" : candidate.marks.includes("rejected") ? "rejected" : "neither";
  const button = el(
    "button",
    { type: "button", class: `candidate ${kind}${candidate.marks.includes("goes on") ? " on" : ""}`, "data-place": `${run}.${at}.${candidate.index}`, on: { click: () => open(view, button, true) } },
    glyph(candidate.marks),
    el("span", { class: "reward" }, candidate.estimate.reward.toFixed(2)),
    strip(candidate.estimate.rollouts, candidate.estimate.planned),
    el("span", { class: "command" }, candidate.command ?? candidate.error ?? candidate.text),
    el("span", { class: "marks" }, candidate.marks.map((mark) => el("span", { class: `mark ${mark.replace(" ", "-")}` }, mark))),
    el("span", { class: "words" }, candidate.words || nameOf(candidate)),
  );
  return button;
}

function candidateAt(view, button) {
  const [run, step, index] = button.dataset.place.split(".").map(Number);
  const trajectory = view.found.trajectories[run];
  return { run, at: step, step: trajectory.steps[step], trajectory, candidate: trajectory.steps[step].candidates.find((each) => each.index === index) };
}

function addressOf(place, more = {}) {
  const [run, step, candidate] = place.split(".");
  return { ...(run === "0" ? {} : { run }), step, candidate, ...more };
}

function open(view, button, moved) {
  select(button);
  if (moved) history.replaceState(null, "", taskHref(view.id, addressOf(button.dataset.place)));
  const at = candidateAt(view, button);
  showCandidate(view.panel, {
    ...at,
    name: titleOf(view, at),
    others: others(view, at),
    replies: (where) => view.source.replies(at.run, view.id, where),
    compare: (place) => goDiff(view, button.dataset.place, place),
    close: () => close(view, button),
  });
  if (moved) view.panel.classList.add("opened");
}

function close(view, button) {
  view.panel.classList.remove("opened");
  if (view.two) view.panel.replaceChildren();
  button?.focus();
}

function titleOf(view, { run, step, candidate }) {
  return `${view.two ? `${"AB"[run]}, ` : ""}step ${step.step}, ${nameOf(candidate)}`;
}

function others(view, at) {
  const same = at.step.candidates.filter((each) => each !== at.candidate).map((each) => [`${at.run}.${at.at}.${each.index}`, nameOf(each)]);
  if (!view.two) return same;
  const across = 1 - at.run;
  const beside = view.found.trajectories[across]?.steps[at.at];
  return [...same, ...(beside?.candidates ?? []).map((each) => [`${across}.${at.at}.${each.index}`, `${"AB"[across]} ${nameOf(each)}`])];
}

function goDiff(view, place, other) {
  history.replaceState(null, "", taskHref(view.id, addressOf(place, { diff: other })));
  const find = (each) => document.querySelector(`[data-place="${CSS.escape(each)}"]`);
  openDiff(view, find(place), find(other));
  view.panel.focus({ preventScroll: true });
}

function openDiff(view, one, other) {
  if (!one || !other) return;
  select(one, other);
  const sides = [one, other].map((button) => {
    const at = candidateAt(view, button);
    return { ...at, name: titleOf(view, at) };
  });
  showDiff(view.panel, { sides, back: () => open(view, one, true), close: () => close(view, one) });
  view.panel.classList.add("opened");
}

function select(...buttons) {
  for (const each of document.querySelectorAll(".candidate[aria-current], .candidate[data-beside]")) {
    each.removeAttribute("aria-current");
    delete each.dataset.beside;
  }
  buttons[0].setAttribute("aria-current", "true");
  if (buttons[1]) buttons[1].dataset.beside = "";
}

function markFirstDifference(main, [a, b]) {
  if (!a || !b) return;
  const told_ = (step) => JSON.stringify(step?.candidates.map((candidate) => [candidate.text, candidate.estimate.rollouts.map((rollout) => rollout.outcome)]));
  const count = Math.max(a.steps.length, b.steps.length);
  const at = Array.from({ length: count }, (_, step) => step).find((step) => told_(a.steps[step]) !== told_(b.steps[step]));
  for (const item of main.querySelectorAll(`.step[data-step="${at}"] h2`)) item.append(el("small", { class: "differs" }, " first difference"));
}

/** What keys do on this view: to the next or previous candidate, the pair, the neighbours. */
export function taskKeys(key) {
  const rows = [...document.querySelectorAll(".candidate")];
  const current = rows.findIndex((row) => row.hasAttribute("aria-current"));
  const focused = rows.indexOf(document.activeElement);
  const from = focused >= 0 ? focused : current;
  const go = (to) => {
    const row = rows[Math.max(0, Math.min(rows.length - 1, to))];
    row?.focus();
    row?.click();
    row?.scrollIntoView({ block: "nearest" });
    return true;
  };
  const stepOf = (row) => row?.closest(".step");
  const toStep = (way) => {
    let to = from;
    while (rows[to] && stepOf(rows[to]) === stepOf(rows[from])) to += way;
    if (!rows[to]) return true;
    return go(rows.findIndex((row) => stepOf(row) === stepOf(rows[to])));
  };
  if (key === "j" || key === "ArrowDown") return go(from + 1);
  if (key === "k" || key === "ArrowUp") return go(from - 1);
  if (key === "l" || key === "ArrowRight") return toStep(1);
  if (key === "h" || key === "ArrowLeft") return toStep(-1);
  if (key === "d") return press(stepOf(rows[from])?.querySelector(".compare-pair"));
  if (key === "n") return press(document.getElementById("next-task"));
  if (key === "p") return press(document.getElementById("previous-task"));
  if (key === "Escape") return press(document.querySelector(".inspector.opened .close"));
  return false;
}

function press(node) {
  node?.click();
  return Boolean(node);
}
