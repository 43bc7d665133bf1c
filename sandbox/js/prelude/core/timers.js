// setTimeout and setInterval. All timers wait in one list, and the host sleeps for
// the earliest of them.
import { apply, bare, hidden, insert as put, now, own, remove, then, trunc } from "./primordials.js";
import { host } from "./host.js";

const longest = 2147483647; // ms; a longer or a broken delay is none, as in browsers
const timers = bare([]); // by time, then in order of creation
let last = 0;
let alarm = Infinity; // when the earliest sleep under way ends

function add(callback, delay, every, args) {
  if (typeof callback !== "function") {
    throw new TypeError("the callback of a timer must be a function");
  }
  delay = trunc(+delay);
  if (!(delay >= 1 && delay <= longest)) delay = every ? 1 : 0;
  const timer = { __proto__: null, id: ++last, at: now() + delay, every: every ? delay : 0, callback, args };
  insert(timer);
  return timer.id;
}

function insert(timer) {
  let i = timers.length;
  while (i > 0 && timers[i - 1].at > timer.at) i--;
  put(timers, i, timer);
  if (i === 0) arm();
}

function arm() {
  if (timers.length === 0 || timers[0].at >= alarm) return;
  const at = (alarm = timers[0].at);
  const delay = at - now();
  then(own(host.send("sleep", { __proto__: null, ms: delay > 0 ? delay : 0 })), () => {
    if (alarm === at) alarm = Infinity;
    fire();
  });
}

// fire runs one timer, so that the microtasks of one are done before the next.
function fire() {
  const timer = timers[0];
  if (timer === undefined || timer.at > now()) return arm();
  remove(timers, 0);
  if (timer.every) {
    timer.at = now() + timer.every;
    insert(timer);
  }
  if (timers.length > 0) arm();
  apply(timer.callback, undefined, timer.args);
}

function clear(id) {
  id = +id;
  for (let i = 0; i < timers.length; i++) {
    if (timers[i].id === id) {
      remove(timers, i);
      return;
    }
  }
}

export function setTimeout(callback, delay = 0, ...args) { return add(callback, delay, false, args); }

hidden(globalThis, {
  setTimeout,
  setInterval(callback, delay = 0, ...args) { return add(callback, delay, true, args); },
  setImmediate(callback, ...args) { return add(callback, 0, false, args); },
  clearTimeout: clear,
  clearInterval: clear,
  clearImmediate: clear,
});
