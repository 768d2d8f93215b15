// What differs between two texts, word by word (Myers 1986, greedy).

const MOST_EDITS = 1200; // beyond, what lies between the common ends counts as different

/** Words, spaces and signs: joined they are the text again. */
export function words(text) {
  return text.match(/\s+|[\p{L}\p{N}_]+|[^\s\p{L}\p{N}_]/gu) ?? [];
}

/**
 * Both texts as runs of [kind, text]; kind is "same", "gone" (left alone) or "new" (right alone).
 * Returns { left, right }: the runs that each side shows.
 */
export function diff(before, after) {
  const a = words(before);
  const b = words(after);
  let start = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start += 1;
  let end = 0;
  while (end < a.length - start && end < b.length - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end += 1;
  const edits = [
    ...a.slice(0, start).map((word) => ["same", word]),
    ...between(a.slice(start, a.length - end), b.slice(start, b.length - end)),
    ...a.slice(a.length - end).map((word) => ["same", word]),
  ];
  const whole = edits.flatMap((edit, at) => (isGap(edits, at) ? [["gone", edit[1]], ["new", edit[1]]] : [edit]));
  return { left: joined(whole, "new"), right: joined(whole, "gone") };
}

// A space between two changes is read as part of them.
function isGap(edits, at) {
  const [kind, word] = edits[at];
  return kind === "same" && !word.trim() && [at - 1, at + 1].every((next) => edits[next] && edits[next][0] !== "same");
}

function joined(edits, without) {
  const runs = [];
  for (const [kind, word] of edits) {
    if (kind === without) continue;
    const last = runs.at(-1);
    if (last && last[0] === kind) last[1] += word;
    else runs.push([kind, word]);
  }
  return runs;
}

function between(a, b) {
  const n = a.length;
  const m = b.length;
  const most = Math.min(n + m, MOST_EDITS);
  const ends = new Map([[1, 0]]);
  const trace = [];
  for (let edits = 0; edits <= most; edits += 1) {
    trace.push(new Map(ends));
    for (let k = -edits; k <= edits; k += 2) {
      const down = k === -edits || (k !== edits && ends.get(k - 1) < ends.get(k + 1));
      let x = down ? ends.get(k + 1) : ends.get(k - 1) + 1;
      let y = x - k;
      while (x < n && y < m && a[x] === b[y]) {
        x += 1;
        y += 1;
      }
      ends.set(k, x);
      if (x >= n && y >= m) return walked(a, b, trace);
    }
  }
  return [...a.map((word) => ["gone", word]), ...b.map((word) => ["new", word])];
}

function walked(a, b, trace) {
  const edits = [];
  let x = a.length;
  let y = b.length;
  for (let at = trace.length - 1; at >= 0; at -= 1) {
    const ends = trace[at];
    const k = x - y;
    const down = k === -at || (k !== at && ends.get(k - 1) < ends.get(k + 1));
    const fromK = down ? k + 1 : k - 1;
    const fromX = ends.get(fromK);
    const fromY = fromX - fromK;
    while (x > fromX && y > fromY && x > 0 && y > 0) {
      edits.push(["same", a[x - 1]]);
      x -= 1;
      y -= 1;
    }
    if (at > 0) {
      if (down) edits.push(["new", b[y - 1]]);
      else edits.push(["gone", a[x - 1]]);
      x = fromX;
      y = fromY;
    }
  }
  return edits.reverse();
}
