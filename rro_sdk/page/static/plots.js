// The plots of the summary, as SVG that is drawn for the width that there is.
// The first run is full and in the accent colour, the second hollow-squared and in ink.

import { duration, el, number, percent, svg } from "./dom.js";

const NARROW = 480; // a telephone's

const MARGIN = { left: 48, right: 14, top: 12, bottom: 40 };

/** A figure that is drawn again when its width changes, with the same numbers as a table. */
export function figure({ title, says, draw, head, rows, wide, legend }) {
  const canvas = el("div", { class: "canvas" });
  const table = el(
    "details",
    { class: "numbers" },
    el("summary", {}, "Numbers"),
    el(
      "div",
      { class: "scroll", tabindex: 0, role: "group", "aria-label": `${title}: numbers` },
      el(
        "table",
        {},
        el("thead", {}, el("tr", {}, head.map((name) => el("th", { scope: "col" }, name)))),
        el("tbody", {}, rows.map(([first, ...rest]) => el("tr", {}, el("th", { scope: "row" }, first), rest.map((cell) => el("td", {}, cell))))),
      ),
    ),
  );
  let drawn = 0;
  new ResizeObserver(([entry]) => {
    const width = Math.floor(entry.contentRect.width);
    if (width > 0 && width !== drawn) {
      drawn = width;
      canvas.replaceChildren(draw(width));
    }
  }).observe(canvas);
  return el(
    "figure",
    { class: wide ? "card wide" : "card" },
    el("figcaption", {}, el("h2", {}, title), el("p", {}, says)),
    canvas,
    legend && el("ul", { class: "legend" }, legend.map(([sign, name]) => el("li", {}, sign, name))),
    table,
  );
}

/** A sign of a legend. */
export function sign(kind, run = 0) {
  return svg("svg", { width: 14, height: 14, viewBox: "0 0 14 14", "aria-hidden": "true", class: run ? "second" : "first" }, point(kind, run, 7, 7));
}

function point(kind, run, x, y, r = 4.2) {
  if (kind === "null") return svg("path", { class: "null", d: `M${x} ${y - r - 1}l${r + 1} ${r + 1}l${-r - 1} ${r + 1}l${-r - 1} ${-r - 1}z` });
  if (run) return svg("rect", { class: kind, x: x - r + 0.5, y: y - r + 0.5, width: 2 * r - 1, height: 2 * r - 1 });
  return svg("circle", { class: kind, cx: x, cy: y, r });
}

export function frame(width, height, label, ...content) {
  return svg("svg", { class: "plot", role: "img", "aria-label": label, width, height, viewBox: `0 0 ${width} ${height}` }, content);
}

export function scale(low, high, from, to) {
  return (value) => from + ((value - low) / (high - low || 1)) * (to - from);
}

export function grid(width, y, ticks, text) {
  return ticks.map((tick) => [
    svg("line", { class: "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: y(tick), y2: y(tick) }),
    svg("text", { class: "tick", x: MARGIN.left - 8, y: y(tick) + 4, "text-anchor": "end" }, text(tick)),
  ]);
}

function columns(width, names) {
  const step = (width - MARGIN.left - MARGIN.right) / names.length;
  const every = Math.ceil(34 / step);
  const x = (at) => MARGIN.left + step * (at + 0.5);
  const labels = (y) =>
    names.map((name, at) => (at % every ? null : svg("text", { class: "tick", x: x(at), y, "text-anchor": "middle" }, name)));
  return { x, labels, step };
}

function whisker(x, y, interval) {
  if (!interval) return null;
  const [low, high] = interval.map(y);
  return svg("path", { class: "whisker", d: `M${x} ${low}V${high}M${x - 3} ${low}h6M${x - 3} ${high}h6` });
}

/** r_{t-1} and r_t by step: hollow to full. */
export function rewardPlot(width, runs) {
  const height = 240;
  const y = scale(0, 1, height - MARGIN.bottom, MARGIN.top);
  const steps = stepsOf(runs);
  const { x, labels, step } = columns(width, steps.map(String));
  const aside = runs.length > 1 ? Math.min(8, step / 4) : 0;
  return frame(
    width,
    height,
    "Mean process reward before and after the trajectory's own action, by step",
    grid(width, y, [0, 0.25, 0.5, 0.75, 1], (tick) => tick.toFixed(2)),
    labels(height - 20),
    svg("text", { class: "axis", x: width - MARGIN.right, y: height - 4, "text-anchor": "end" }, "step"),
    runs.map((run, which) =>
      svg(
        "g",
        { class: which ? "second" : "first" },
        run.plots.at_step.map((at) => {
          const place = x(steps.indexOf(at.step)) + (which ? aside : -aside);
          return [
            svg("title", {}, `step ${at.step}, ${at.count} trajectories: ${at.before.toFixed(3)} to ${at.after.toFixed(3)}`),
            svg("line", { class: "way", x1: place, x2: place, y1: y(at.before), y2: y(at.after) }),
            point("hollow", which, place, y(at.before), 4),
            point("full", which, place, y(at.after), 4.4),
          ];
        }),
      ),
    ),
  );
}

/** Candidates per step beside their null: all steps first, then by step. */
export function candidatesPlot(width, runs) {
  const height = 240;
  const steps = stepsOf(runs);
  const values = runs.flatMap((run) => [
    ...run.plots.at_step.flatMap((at) => [at.candidates, at.null ?? 1]),
    ...(run.summary ? [run.summary.candidates_per_step ?? 1, ...(run.summary.intervals.candidates_per_step ?? [])] : []),
  ]);
  const top = Math.max(2, Math.ceil(2 * Math.max(1, ...values)) / 2);
  const y = scale(1, top, height - MARGIN.bottom, MARGIN.top);
  const ticks = Array.from({ length: Math.round((top - 1) / (top > 4 ? 1 : 0.5)) + 1 }, (_, at) => 1 + at * (top > 4 ? 1 : 0.5));
  const { x, labels, step } = columns(width, ["all", ...steps.map(String)]);
  const aside = runs.length > 1 ? Math.min(8, step / 4) : 0;
  const pair = (place, which, value, null_, interval, nullInterval, name) => {
    const apart = Math.min(6, step / 5);
    return [
      svg("title", {}, `${name}: ${value.toFixed(2)} candidates${null_ === null ? "" : `, null ${null_.toFixed(2)}`}`),
      null_ !== null && [whisker(place + apart, y, nullInterval), point("null", which, place + apart, y(null_), 3.8)],
      whisker(place - apart, y, interval),
      point("full", which, place - apart, y(value), 4.4),
    ];
  };
  return frame(
    width,
    height,
    "Candidates per step beside the null, over all steps and by step",
    grid(width, y, ticks, (tick) => tick.toFixed(1)),
    svg("line", { class: "divide", x1: (x(0) + x(1)) / 2, x2: (x(0) + x(1)) / 2, y1: MARGIN.top, y2: height - MARGIN.bottom }),
    labels(height - 20),
    svg("text", { class: "axis", x: width - MARGIN.right, y: height - 4, "text-anchor": "end" }, "step"),
    runs.map((run, which) => {
      const shift = which ? aside : -aside;
      const all = run.summary;
      return svg(
        "g",
        { class: which ? "second" : "first" },
        all && all.candidates_per_step !== null &&
          pair(x(0) + shift, which, all.candidates_per_step, all.candidates_per_step_null, all.intervals.candidates_per_step, all.intervals.candidates_per_step_null, "all steps"),
        run.plots.at_step.map((at) => pair(x(steps.indexOf(at.step) + 1) + shift, which, at.candidates, at.null, null, null, `step ${at.step}`)),
      );
    }),
  );
}

/** Share of steps whose own action rises, in each third of the trajectory. */
export function thirdsPlot(width, runs) {
  const height = 240;
  const y = scale(0, 1, height - MARGIN.bottom, MARGIN.top);
  const names = ["first third", "middle third", "last third"];
  const { x, labels } = columns(width, names);
  return frame(
    width,
    height,
    "Share of steps with a rising reward, by third of the trajectory",
    grid(width, y, [0, 0.25, 0.5, 0.75, 1], percent),
    labels(height - 20),
    runs.map((run, which) =>
      svg(
        "g",
        { class: which ? "second" : "first" },
        ["rising_by_third", "strictly_rising_by_third"].map((name, kind) => {
          const shift = (kind ? 9 : -9) + (runs.length > 1 ? (which ? 24 : -24) : 0);
          return run.summary[name].map((share, at) => {
            if (share === null) return null;
            const place = x(at) + shift;
            return [
              svg("title", {}, `${names[at]}: ${percent(share)}`),
              whisker(place, y, run.summary.intervals[`${name}.${["first", "middle", "last"][at]}`]),
              point(kind ? "hollow" : "full", which, place, y(share), 4.4),
            ];
          });
        }),
      ),
    ),
  );
}

/** Generated tokens by what they were for. */
export function costPlot(width, runs, kinds) {
  const row = Math.max(runs.length > 1 ? 40 : 30, Math.min(56, Math.floor(200 / kinds.length)));
  const height = kinds.length * row + 6;
  const [left, right] = width < NARROW ? [84, 106] : [104, 128];
  const most = Math.max(1, ...runs.flatMap((run) => kinds.map((kind) => tokens(run, kind))));
  const x = scale(0, most, 0, Math.max(20, width - left - right));
  return frame(
    width,
    height,
    "Generated tokens by kind",
    kinds.map((kind, at) => [
      svg("text", { class: "label", x: left - 12, y: at * row + row / 2 + 4, "text-anchor": "end" }, spoken(kind)),
      runs.map((run, which) => {
        const count = tokens(run, kind);
        const total = kinds.reduce((sum, each) => sum + tokens(run, each), 0);
        const y = at * row + row / 2 + (runs.length > 1 ? 15 * which - 15 : -6);
        return svg(
          "g",
          { class: `${which ? "second" : "first"} ${kind === "kept" ? "kept" : "lost"}` },
          svg("rect", { class: "rail", x: left, y, width: x(most), height: 12, rx: 2 }),
          count > 0 && svg("rect", { class: "bar", x: left + 0.5, y: y + 0.5, width: Math.max(1, x(count) - 1), height: 11, rx: 2 }),
          svg("text", { class: "value", x: left + x(most) + 10, y: y + 10.5 }, `${number(count)} · ${share(count, total)}`),
        );
      }),
    ]),
  );
}

export function tokens(run, kind) {
  return run.summary.ledger.entries[kind].usage.completion_tokens;
}

function share(count, total) {
  return count > 0 && count < total / 200 ? "< 1 %" : percent(total ? count / total : 0);
}

export function spoken(kind) {
  return kind.replace("_", " ");
}

/** Generated tokens a second, a row a server, over the run's time. */
export function serversPlot(width, use) {
  const row = 46;
  const left = Math.min(190, Math.max(110, width * 0.22));
  const right = width < NARROW ? 66 : 92;
  const height = use.servers.length * row + 26;
  const inner = width - left - right;
  const most = Math.max(1e-9, ...use.servers.flatMap((each) => each.tokens_per_s));
  const bar = inner / use.servers[0].tokens_per_s.length;
  const tall = row - 14;
  return frame(
    width,
    height,
    "Generated tokens per second of each server over time",
    use.servers.map((each, at) => {
      const base = (at + 1) * row - 6;
      const mean = each.tokens / Math.max(use.seconds, 1e-9);
      return svg(
        "g",
        { class: "first" },
        svg("title", {}, `${each.server || "server unknown"}: ${number(mean)} tokens/s on average`),
        svg("text", { class: "label", x: 0, y: base - tall / 2 + 4 }, clipped(each.server.replace(/^https?:\/\//, "") || "unknown", left / 7.4)),
        svg("line", { class: "grid", x1: left, x2: left + inner, y1: base, y2: base }),
        svg("path", {
          class: "area",
          d: each.tokens_per_s
            .map((value, n) => (value > 0 ? `M${left + n * bar + 0.25} ${base}v${(-tall * value) / most}h${Math.max(0.5, bar - 0.75)}v${(tall * value) / most}z` : ""))
            .join(""),
        }),
        svg("text", { class: "value", x: left + inner + 10, y: base - tall / 2 + 4 }, `${number(mean)} /s`),
      );
    }),
    [0, 0.5, 1].map((part) =>
      svg("text", { class: "tick", x: left + inner * part, y: height - 4, "text-anchor": ["start", "middle", "end"][2 * part] }, part ? duration(use.seconds * part) : "0"),
    ),
  );
}

// Servers differ in their ends: hosts of one name, ports of one host.
function clipped(text, letters) {
  return text.length > letters ? `…${text.slice(-Math.max(1, Math.floor(letters) - 1))}` : text;
}

function stepsOf(runs) {
  return [...new Set(runs.flatMap((run) => run.plots.at_step.map((at) => at.step)))].sort((a, b) => a - b);
}

