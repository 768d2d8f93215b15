// Where the page's data comes from: the server's JSON, or what is embedded in a single file.
// Both answer the same questions: about, progress, figures, tasks, task, replies.

/** The source of this page. */
export async function openSource() {
  const block = document.getElementById("about");
  if (block === null) return new Served();
  return new Embedded(await unpack(block));
}

class Served {
  note = "";

  has() {
    return true;
  }

  async about() {
    return ask("runs");
  }

  async progress() {
    return ask("progress");
  }

  async figures(run, part) {
    return ask("figures", { run, part });
  }

  async tasks(query) {
    return ask("tasks", query);
  }

  async task(id) {
    return ask("task", { id });
  }

  async replies(run, id, where) {
    const found = await ask("replies", { run, id, where: where.join(".") });
    return found[where.join(".")] ?? [];
  }
}

async function ask(what, query = {}) {
  const response = await fetch(`/api/${what}?${new URLSearchParams(query)}`);
  const body = response.headers.get("Content-Type")?.startsWith("application/json") ? await response.json() : null;
  if (!response.ok) throw new Error(body?.error ?? `the server answered with status ${response.status}`);
  return body;
}

class Embedded {
  constructor(about) {
    this.data = about;
    this.opened = new Map();
    this.places = new Map(about.kept.map((id, at) => [id, at]));
    const [kept, all] = [about.kept.length, about.rows.length];
    this.note = kept < all ? `This file holds the trajectories of ${kept} of these ${all} tasks; rro view serves all.` : "";
  }

  has(id) {
    return this.places.has(id);
  }

  async about() {
    return this.data.runs;
  }

  async progress() {
    return { read: 1, recorded: 1 };
  }

  async figures(run) {
    return this.data.figures[run];
  }

  async tasks(query) {
    const found = select(this.data.rows, query);
    return { total: found.length, rows: found.slice(query.offset, query.offset + query.limit) };
  }

  async task(id) {
    const { view } = await this.open(id);
    const at = this.places.get(id);
    return { ...view, before: this.data.kept[at - 1] ?? null, after: this.data.kept[at + 1] ?? null };
  }

  async replies(run, id, where) {
    return (await this.open(id)).replies[run][where.join(".")] ?? [];
  }

  open(id) {
    if (!this.places.has(id)) {
      const kept = this.data.kept.length;
      throw new Error(`this file holds the trajectories of ${kept} tasks, and this is none of them; rro view serves all`);
    }
    if (!this.opened.has(id)) this.opened.set(id, unpack(document.getElementById(`task-${this.places.get(id)}`)));
    return this.opened.get(id);
  }
}

async function unpack(block) {
  const packed = Uint8Array.from(atob(block.textContent), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).json();
}

const OUTCOMES = {
  solved: (value) => value === 1,
  failed: (value) => value === 0,
  partial: (value) => value > 0 && value < 1,
};

/** Rows of a table of tasks as `rro_sdk.page.index` would choose and order them. */
export function select(rows, query) {
  const sought = query.q.toLowerCase();
  const fits = ([a, b]) =>
    (!sought || [a, b].some((row) => row && `${row.id} ${row.opening}`.toLowerCase().includes(sought))) &&
    (!query.state || a?.state === query.state) &&
    (!query.outcome || (a && a.outcome !== null && OUTCOMES[query.outcome](a.outcome))) &&
    (!query.pairs || (a && a.pairs > 0 === (query.pairs === "yes"))) &&
    (!query.verdict || a?.[query.verdict] > 0) &&
    (!query.differ || (a?.outcome ?? null) !== (b?.outcome ?? null));
  const found = rows.filter(fits);
  if (query.sort === "position") return query.down ? found.reverse() : found;
  const key = sorter(query.sort);
  const way = query.down ? -1 : 1;
  return found
    .map((row, at) => [key(row), at, row])
    .sort(([x, i], [y, j]) => (x === null) - (y === null) || way * (x < y ? -1 : x > y ? 1 : 0) || i - j)
    .map(([, , row]) => row);
}

function sorter(name) {
  if (name === "difference") {
    return ([a, b]) => (a && b && a.outcome !== null && b.outcome !== null ? b.outcome - a.outcome : null);
  }
  if (name === "id") return ([a, b]) => (a ?? b).id;
  if (name.endsWith("_b")) return ([, b]) => b?.[name.slice(0, -2)] ?? null;
  return ([a]) => a?.[name] ?? null;
}
