// Keeps a view true: it is read anew when something happens, now and then anyway, and when somebody looks at it again.

import * as live from "../core/live.js";
import { fault } from "../core/notices.js";
import { span } from "../core/time.js";

const SETTLED = 500;

/**
 * Call *work* soon after events that fit *patterns*, and every *every* milliseconds; at most once in *pause*.
 *
 * After an event it is called a second time a moment later: what the hub counts may be a second old. Nothing is asked
 * for while the page is hidden. Returns {now(), stop()}.
 */
export function fresh(work, { on = "", every = 20_000, pause = 1000 } = {}) {
  let timer = 0;
  let last = performance.now();
  let running = false;
  let again = false;
  let told = false;
  let over = false;

  async function now() {
    if (over || document.hidden) return;
    if (running) {
      again = true;
      return;
    }
    running = true;
    const settle = told;
    told = false;
    try {
      await work();
    } catch (failure) {
      if (!passing(failure) && !over) fault(failure);
    } finally {
      running = false;
      last = performance.now();
      wait(again ? pause : settle ? pause + SETTLED : every);
      again = false;
    }
  }

  function wait(milliseconds) {
    clearTimeout(timer);
    if (!over) timer = setTimeout(now, milliseconds);
  }

  const soon = () => {
    told = true;
    if (running) again = true;
    else wait(Math.max(80, pause - (performance.now() - last)));
  };
  const back = () => !document.hidden && soon();
  document.addEventListener("visibilitychange", back);
  const stopLive = on ? live.on(`${on},reset`, soon) : () => {};
  wait(every);
  return {
    now,
    stop() {
      over = true;
      clearTimeout(timer);
      stopLive();
      document.removeEventListener("visibilitychange", back);
    },
  };
}

/** Tell whether a failure passes by itself; the line at the top tells of it already. */
const passing = (failure) => failure?.status === 0 || failure?.status === 503 || failure?.status === 429;

/** Let every element with `data-since` say for how long it has been so; returns what stops that. */
export function ticking(element) {
  const tick = () => {
    for (const one of element.querySelectorAll("[data-since]")) one.textContent = span(Date.now() - Date.parse(one.dataset.since));
  };
  tick();
  const timer = setInterval(tick, 1000);
  return () => clearInterval(timer);
}
