// One candidate in full, or two side by side with what differs.

import { diff } from "./diff.js";
import { el, fill, number, plural } from "./dom.js";
import { glyph, strip } from "./marks.js";

/** Show a candidate: its reply, what came of it, its rollouts and what it was asked. */
export function showCandidate(panel, { step, trajectory, candidate, name, others, replies, compare, close }) {
  const { estimate } = candidate;
  fill(
    panel,
    head(name, candidate, close),
    el("div", { class: "worth" }, el("strong", {}, estimate.reward.toFixed(2)), strip(estimate.rollouts, estimate.planned), el("p", { class: "soft" }, sure(estimate))),
    candidate.words && el("p", { class: "judged" }, candidate.words),
    others.length > 0 &&
      el("div", { class: "compare-with" }, el("span", { class: "soft" }, "Compare with"), others.map(([place, text]) => el("button", { type: "button", class: "quiet", on: { click: () => compare(place) } }, text))),
    block("Reply", candidate.text),
    candidate.command !== null && candidate.command !== candidate.text && block("Command", candidate.command, "code"),
    candidate.error !== null && block("Could not be read", candidate.error),
    block(candidate.done ? "Observation, the last" : "Observation", candidate.observation),
    candidate.rest.length > 0 && conversation("The rest of the trajectory", candidate.rest),
    rollouts(estimate, replies),
    conversation(`Prompt: ${plural(step.prefix.length, "message")}`, step.prefix.map((at) => trajectory.messages[at])),
    el(
      "dl",
      { class: "facts" },
      fact("Server", candidate.server || "unknown"),
      fact("Seed", candidate.seed === null ? "none" : String(candidate.seed)),
      fact("Weight version", step.weight_version || "unknown"),
      step.pair_id !== null && fact("Pair", step.pair_id),
    ),
  );
  panel.scrollTop = 0;
}

function head(name, candidate, close) {
  return el(
    "header",
    { class: "inspector-head" },
    candidate && glyph(candidate.marks),
    el("h2", {}, name.charAt(0).toUpperCase() + name.slice(1)),
    candidate?.marks.map((mark) => el("span", { class: `mark ${mark.replace(" ", "-")}` }, mark)),
    el("button", { type: "button", class: "quiet close", on: { click: close } }, "Close"),
  );
}

function sure(estimate) {
  if (estimate.terminal) return "its own outcome: it ended the episode";
  const count = plural(estimate.rollouts.length, "rollout");
  const of = estimate.planned > estimate.rollouts.length ? `${count} of ${estimate.planned}` : count;
  return `mean of ${of}` + (estimate.interval ? `, 95 % interval ${estimate.interval[0].toFixed(2)} to ${estimate.interval[1].toFixed(2)}` : "");
}

function block(title, text, kind = "") {
  return el("section", { class: "block" }, el("h3", {}, title), el("pre", { class: `verbatim ${kind}`, tabindex: 0 }, text || " "));
}

function conversation(title, messages) {
  return el(
    "details",
    { class: "conversation" },
    el("summary", {}, title),
    messages.map((message) => el("div", { class: `message ${message.role}` }, el("b", { class: "soft" }, message.role), el("pre", { class: "verbatim", tabindex: 0 }, message.content))),
  );
}

function rollouts(estimate, replies) {
  if (estimate.terminal) return null;
  return el(
    "section",
    { class: "rollouts" },
    el("h3", {}, "Rollouts"),
    el("ol", {}, estimate.rollouts.map((rollout, at) => el("li", {}, oneRollout(rollout, at, replies)))),
  );
}

function oneRollout(rollout, at, replies) {
  const line = [
    strip([rollout]),
    el("span", { class: "number" }, rollout.outcome.toFixed(2)),
    el(
      "span",
      { class: "soft" },
      [`rollout ${at}`, rollout.where && plural(rollout.turns, "reply").replace("replys", "replies"), rollout.where && `${number(rollout.tokens)} tokens`, rollout.truncated && "cut at the step limit", rollout.fault && "broke", rollout.seed !== null && `seed ${rollout.seed}`].filter(Boolean).join(" · "),
    ),
  ];
  if (!rollout.where) return el("div", { class: "rollout" }, line);
  const inside = el("div", {});
  const load = async (event) => {
    if (!event.target.open || inside.childElementCount) return;
    try {
      const said = await replies(rollout.where);
      fill(
        inside,
        said.map((reply) => el("div", { class: "message assistant" }, el("b", { class: "soft" }, `turn ${reply.turn}, ${number(reply.tokens)} tokens, ${reply.server || "server unknown"}`), el("pre", { class: "verbatim", tabindex: 0 }, reply.text))),
        el("p", { class: "soft" }, "Observations within rollouts are not recorded."),
      );
    } catch (error) {
      fill(inside, el("p", { class: "problem" }, error.message));
    }
  };
  return el("details", { class: "rollout", on: { toggle: load } }, el("summary", {}, line), rollout.fault && el("p", { class: "problem" }, rollout.fault), inside);
}

function fact(name, value) {
  return el("div", {}, el("dt", {}, name), el("dd", {}, value));
}

/** Two candidates side by side; what only one of them says is marked. */
export function showDiff(panel, { sides, back, close }) {
  const parts = [
    ["Reply", (candidate) => candidate.text],
    ["Observation", (candidate) => candidate.observation],
  ];
  if (sides.some(({ candidate }) => candidate.rest.length)) parts.push(["Rest", (candidate) => candidate.rest.map((message) => `${message.role}: ${message.content}`).join("\n\n")]);
  fill(
    panel,
    head("Side by side", null, close),
    el("button", { type: "button", class: "quiet back", on: { click: back } }, "← Back to the candidate"),
    el(
      "div",
      { class: "diff" },
      sides.map(({ candidate, name }) => el("div", { class: "diff-head" }, glyph(candidate.marks), el("b", {}, name), el("span", { class: "reward" }, candidate.estimate.reward.toFixed(2)), strip(candidate.estimate.rollouts, candidate.estimate.planned))),
      parts.map(([title, text]) => {
        const { left, right } = diff(...sides.map(({ candidate }) => text(candidate)));
        return [left, right].map((runs) => el("section", { class: "block" }, el("h3", {}, title), el("pre", { class: "verbatim", tabindex: 0 }, runs.map(([kind, word]) => (kind === "same" ? word : el(kind === "gone" ? "del" : "ins", {}, word))))));
      }),
    ),
    el("p", { class: "soft" }, el("del", {}, "only on the left"), " ", el("ins", {}, "only on the right")),
  );
  panel.scrollTop = 0;
}
