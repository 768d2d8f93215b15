// The first view: a run's numbers and plots, or those of two.

import { announce, duration, el, fill, number, percent, plural } from "./dom.js";
import { candidatesPlot, costPlot, figure, rewardPlot, serversPlot, sign, spoken, thirdsPlot, tokens } from "./plots.js";
import { follow } from "./progress.js";

/** Show it; figures that take long are added when they are there. */
export async function showSummary(main, { source, runs, stale }) {
  const place = el("div", { class: "figures" });
  const numbers = el("div", {});
  const heads = runs.map((run, at) => heading(run, at, runs.length));
  fill(main, el("div", { class: "page" }, runs.length > 1 ? el("div", { class: "pairwise" }, heads) : heads, numbers, place));
  const show = (found) => {
    fill(numbers, runs.length > 1 ? comparison(runs, found) : headline(found[0]));
    fill(place, figures(runs, found));
  };
  const ask = (part) => Promise.all(runs.map((_, run) => source.figures(run, part)));
  let found = await ask("early");
  if (stale()) return;
  show(found);
  if (found.some((each) => !each.plots)) {
    const reading = el("div", { class: "reading" });
    place.prepend(reading);
    const told = follow(source, reading);
    found = await ask("decisions").finally(told);
    if (stale()) return;
    show(found);
  }
  if (found.every((each) => each.ready)) return;
  const waiting = el("p", { class: "waiting" }, "Going through every reply for the rest of the figures …");
  place.append(waiting);
  announce("The rest of the figures is being computed.");
  ask("all").then(
    (all) => {
      if (stale()) return;
      show(all);
      announce("All figures are shown.");
    },
    (error) => fill(waiting, error.message),
  );
}

function heading(run, at, count) {
  const method = run.method.name ?? "";
  const made = [
    run.environment,
    [method.replaceAll("_", " "), run.rule].filter(Boolean).join(" "),
    run.method.rollouts && `m = ${run.method.rollouts}`,
    run.method.max_candidates && `at most ${plural(run.method.max_candidates, "candidate")}`,
    run.model.path,
    plural(run.servers.length, "server"),
    `seed ${run.seed}`,
    run.created.slice(0, 16).replace("T", " "),
  ].filter(Boolean);
  return el(
    "header",
    { class: count > 1 ? "run-head compared" : "run-head" },
    el("h1", {}, count > 1 && el("span", { class: `letter ${at ? "second" : "first"}` }, "AB"[at]), " ", run.name),
    el("p", { class: "soft made" }, made.map((each) => [el("span", {}, each), " "])),
  );
}

function headline({ summary, plots }) {
  if (!summary) return el("p", { class: "waiting" }, "The numbers of this run are being computed …");
  const steps = Object.entries(summary.steps_by_outcome).map(([name, count]) => `${number(count)} ${name}`).join(", ");
  const without = Object.entries(summary.no_pair).map(([name, count]) => `${number(count)} ${name.replace("_", " ")}`).join(", ");
  return el(
    "dl",
    { class: "headline" },
    told("candidates per step", number(summary.candidates_per_step, 2), `null, if none were better: ${number(summary.candidates_per_step_null, 2)}`, summary.intervals.candidates_per_step),
    told("pairs", number(summary.pairs), `${number(summary.pairs_per_1000_rollouts, 1)} per 1,000 rollouts${without ? `; none at ${without}` : ""}`),
    told("mean outcome", number(summary.mean_outcome, 2), `${plural(summary.tasks, "task")}, ${number(summary.tasks_failed)} set aside`, summary.intervals.mean_outcome),
    told("steps", number(summary.steps), steps + (plots?.steps_beyond ? `; ${number(plots.steps_beyond)} beyond those plotted` : "")),
    told("rollouts", number(summary.rollouts), `${number(summary.turns)} turns in ${duration(summary.wall_s)}`),
  );
}

function told(name, value, note, interval) {
  return el(
    "div",
    {},
    el("dt", {}, name),
    el("dd", {}, el("strong", {}, value), interval && el("span", { class: "interval" }, `${interval[0].toFixed(2)} to ${interval[1].toFixed(2)}`), el("small", {}, note)),
  );
}

const COMPARED = [
  ["mean outcome", "mean_outcome", 3, "mean_outcome"],
  ["candidates per step", "candidates_per_step", 2, "candidates_per_step"],
  ["null, if none were better", "candidates_per_step_null", 2, "candidates_per_step_null"],
  ["pairs", "pairs", 0],
  ["pairs per 1,000 rollouts", "pairs_per_1000_rollouts", 1, "pairs_per_1000_rollouts"],
  ["steps", "steps", 0],
  ["rollouts", "rollouts", 0],
  ["tasks", "tasks", 0],
  ["seconds", "wall_s", 1],
];

function comparison(runs, found) {
  if (found.some((each) => !each.summary)) return el("p", { class: "waiting" }, "The numbers of these runs are being computed …");
  const [a, b] = found.map((each) => each.summary);
  const cell = (summary, name, digits, interval) =>
    el("td", {}, number(summary[name], digits), interval && summary.intervals[interval] && el("small", {}, ` ${summary.intervals[interval].map((end) => end.toFixed(Math.min(2, digits))).join(" to ")}`));
  const difference = (name, digits) => {
    if (a[name] === null || b[name] === null) return "–";
    const value = b[name] - a[name];
    return `${value > 0 ? "+" : value < 0 ? "−" : "±"}${number(Math.abs(value), digits)}`;
  };
  return el(
    "div",
    { class: "scroll", tabindex: 0, role: "group", "aria-label": "Both runs in numbers" },
    el(
      "table",
      { class: "compared" },
      el("caption", { class: "unseen" }, "Both runs in numbers, 95 % intervals beside them"),
      el("thead", {}, el("tr", {}, el("td", {}), runs.map((run, at) => el("th", { scope: "col" }, el("span", { class: `letter ${at ? "second" : "first"}` }, "AB"[at]), " ", run.name)), el("th", { scope: "col" }, "B − A"))),
      el("tbody", {}, COMPARED.map(([spokenName, name, digits, interval]) => el("tr", {}, el("th", { scope: "row" }, spokenName), cell(a, name, digits, interval), cell(b, name, digits, interval), el("td", {}, difference(name, digits))))),
    ),
  );
}

function figures(runs, found) {
  const two = runs.length > 1;
  const whose = (at) => (two ? `${"AB"[at]}: ` : "");
  const letters = () => (two ? runs.map((run, at) => [el("span", { class: `letter ${at ? "second" : "first"}` }, "AB"[at]), run.name]) : []);
  const followed = found.every((each) => each.plots) && found.some((each) => each.plots.at_step.length);
  const summarised = found.every((each) => each.summary);
  const shown = [];
  if (followed) {
    shown.push(
      figure({
        title: "Reward by step",
        says: "Mean process reward of a trajectory before its own action and after it. Both are means over the same trajectories: those that got so far.",
        draw: (width) => rewardPlot(width, found),
        legend: [[sign("hollow"), "rₜ₋₁, before"], [sign("full"), "rₜ, after"], ...letters()],
        head: ["step", "trajectories", "before", "after", "rise", "95 %"],
        rows: found.flatMap((each, run) =>
          each.plots.at_step.map((at) => [
            `${whose(run)}${at.step}`,
            number(at.count),
            at.before.toFixed(3),
            at.after.toFixed(3),
            signed(at.rise[0]),
            at.rise[1] === null ? "–" : `± ${at.rise[1].toFixed(3)}`,
          ]),
        ),
      }),
      figure({
        title: "Candidates against the null",
        says: "How many candidates a step drew, beside how many it would draw if none were better than its prefix.",
        draw: (width) => candidatesPlot(width, found),
        legend: [[sign("full"), "drawn"], [sign("null"), "null"], ...letters()],
        head: ["step", "drawn", "null"],
        rows: found.flatMap((each, run) => [
          ...(each.summary ? [[`${whose(run)}all`, number(each.summary.candidates_per_step, 2), number(each.summary.candidates_per_step_null, 2)]] : []),
          ...each.plots.at_step.map((at) => [`${whose(run)}${at.step}`, at.candidates.toFixed(2), number(at.null, 2)]),
        ]),
      }),
    );
  }
  if (followed && summarised) {
    shown.push(
      figure({
        title: "Rising share by thirds",
        says: "Steps whose own action is worth at least as much as its prefix, and strictly more. By the letter 0 ≥ 0 rises.",
        draw: (width) => thirdsPlot(width, found),
        legend: [[sign("full"), "rₜ ≥ rₜ₋₁"], [sign("hollow"), "rₜ > rₜ₋₁"], ...letters()],
        head: ["third", "rising", "strictly"],
        rows: found.flatMap(({ summary }, run) => ["first", "middle", "last"].map((third, at) => [`${whose(run)}${third}`, percent(summary.rising_by_third[at]), percent(summary.strictly_rising_by_third[at])])),
      }),
    );
  }
  if (summarised && found.every(({ summary }) => summary.ledger)) {
    const kinds = Object.keys(found[0].summary.ledger.entries).filter((kind) => kind === "kept" || found.some((each) => tokens(each, kind)));
    shown.push(
      figure({
        title: "Cost by kind",
        says: "What the generated tokens were for; all but the kept ones decided nothing.",
        draw: (width) => costPlot(width, found, kinds),
        legend: letters(),
        head: ["kind", "generated", "prompt", "requests"],
        rows: found.flatMap(({ summary }, run) =>
          kinds.map((kind) => {
            const { usage, requests } = summary.ledger.entries[kind];
            return [`${whose(run)}${spoken(kind)}`, number(usage.completion_tokens), number(usage.prompt_tokens), number(requests)];
          }),
        ),
      }),
    );
  }
  found.forEach(({ use }, run) => {
    if (!use) return;
    shown.push(
      figure({
        wide: true,
        title: two ? `Servers over time, ${"AB"[run]}` : "Servers over time",
        says: `Generated tokens per second of recorded replies, in stretches of ${duration(use.width_s)}; all rows have one scale.`,
        draw: (width) => serversPlot(width, use),
        head: ["server", "replies", "tokens", "tokens/s", "prompt cached"],
        rows: use.servers.map((each) => [each.server || "unknown", number(each.replies), number(each.tokens), number(each.tokens / Math.max(use.seconds, 1e-9)), percent(each.cached)]),
      }),
    );
  });
  return shown;
}

function signed(value) {
  return `${value > 0 ? "+" : value < 0 ? "−" : "±"}${Math.abs(value).toFixed(3)}`;
}
