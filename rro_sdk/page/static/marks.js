// Small pictures of rewards and outcomes. Each says the same by its shape as by its colour, and in words
// for who cannot see it.

import { el, svg } from "./dom.js";

const CELL = 11;
const GAP = 3;
const HEIGHT = 14;

/** Outcomes of rollouts in order: full is 1, empty is 0, in between is filled so far; a dot was not run. */
export function strip(rollouts, planned = 0) {
  const missing = Math.max(0, planned - rollouts.length);
  const said = rollouts.map((rollout) => said1(rollout.outcome)).join(", ") + (missing ? `; ${missing} not run` : "");
  const width = (rollouts.length + missing) * (CELL + GAP) - GAP;
  return svg(
    "svg",
    { class: "strip", role: "img", "aria-label": `outcomes ${said}`, width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}` },
    svg("title", {}, `outcomes ${said}`),
    rollouts.map((rollout, at) => cell(rollout, at * (CELL + GAP))),
    Array.from({ length: missing }, (_, at) =>
      svg("circle", { class: "missing", cx: (rollouts.length + at) * (CELL + GAP) + CELL / 2, cy: HEIGHT / 2, r: 1.5 }),
    ),
  );
}

function said1(outcome) {
  return Number.isInteger(outcome) ? String(outcome) : outcome.toFixed(2);
}

function cell(rollout, x) {
  const inner = HEIGHT - 2;
  const level = inner * rollout.outcome;
  return [
    svg("rect", {
      class: rollout.fault || rollout.truncated ? "cell cut" : "cell",
      x: x + 0.75,
      y: 0.75,
      width: CELL - 1.5,
      height: HEIGHT - 1.5,
      rx: 2,
    }),
    level > 0 && svg("rect", { class: "level", x, y: 1 + inner - level, width: CELL, height: level, rx: 2 }),
  ];
}

/** A value in [0, 1] as a bar with its number. */
export function meter(value) {
  if (value === null || value === undefined) return el("span", { class: "soft" }, "–");
  return el(
    "span",
    { class: "meter" },
    el("span", { class: "number" }, value.toFixed(2)),
    svg(
      "svg",
      { width: 46, height: 6, viewBox: "0 0 46 6", "aria-hidden": "true" },
      svg("rect", { class: "rail", width: 46, height: 6, rx: 3 }),
      value > 0 && svg("rect", { class: "level", width: Math.max(2, 46 * value), height: 6, rx: 3 }),
    ),
  );
}

/** From r_0 to the last reward: hollow to full. */
export function journey(first, last) {
  if (first === null || last === null || first === undefined || last === undefined) return el("span", { class: "soft" }, "–");
  const x = (value) => 5 + 60 * value;
  const said = `${first.toFixed(2)} to ${last.toFixed(2)}`;
  return svg(
    "svg",
    { class: "journey", width: 70, height: 14, viewBox: "0 0 70 14", role: "img", "aria-label": said },
    svg("title", {}, said),
    svg("line", { class: "rail-line", x1: 5, x2: 65, y1: 7, y2: 7 }),
    svg("line", { class: "way", x1: x(first), x2: x(last), y1: 7, y2: 7 }),
    svg("circle", { class: "hollow", cx: x(first), cy: 7, r: 3.2 }),
    svg("circle", { class: "full", cx: x(last), cy: 7, r: 3.7 }),
  );
}

/** The sign of a candidate: up is chosen, down rejected, a ring neither. */
export function glyph(marks) {
  const kind = marks.includes("chosen") ? "chosen" : marks.includes("rejected") ? "rejected" : "neither";
  return svg("svg", { class: `glyph ${kind}`, width: 14, height: 14, viewBox: "0 0 14 14", "aria-hidden": "true" }, shape(kind, 7, 7));
}

/** Its shape, for drawings. */
export function shape(kind, x, y, size = 5) {
  if (kind === "chosen") return svg("path", { d: `M${x} ${y - size}l${size} ${1.8 * size}h${-2 * size}z` });
  if (kind === "rejected") return svg("path", { d: `M${x} ${y + size}l${size} ${-1.8 * size}h${-2 * size}z` });
  return svg("circle", { cx: x, cy: y, r: 0.8 * size });
}
