// How far the journal is read, for views that have to wait for it.

import { el, fill, number, plural } from "./dom.js";

const EVERY_MS = 250;

/** Keep telling it in a place of its own, until the function that this returns is called. */
export function follow(source, place) {
  let over = false;
  const tell = async () => {
    if (!place.isConnected) return;
    const { read, recorded } = await source.progress();
    if (over || read >= recorded) return;
    const bar = el("progress", { max: 1, value: read / recorded, "aria-label": "read so far" });
    fill(place, el("p", { class: "waiting" }, `Reading the journal: ${number(read)} of ${plural(recorded, "event")}`, bar));
  };
  const ticking = setInterval(() => tell().catch(() => {}), EVERY_MS); // the view itself says what is wrong
  return () => {
    over = true;
    clearInterval(ticking);
  };
}
